// codex-pool on a real Codex: text, approvals in both shapes, Ctrl-C, and a conversation that goes on.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { cli, onTerminal, run, CTRL_C } from '../lib/cli.mjs';
import { hang, say, shell, steps } from '../lib/model-server.mjs';
import { startRig, told } from './rig.mjs';

const ASKING = { home: { policy: 'on-request', sandbox: 'read-only' } };
const args = (rig, ...more) => ['--socket', rig.daemon.socket, 'run', '--cwd', rig.home.cwd, ...more];

test('text streams, and the conversation goes on in another process', async (t) => {
    const rig = await startRig(t);
    rig.model.on('one', say('the first\nanswer: é😀', { deltas: 5 }));
    rig.model.on('two', say('the second'));
    const first = await run(t, args(rig, 'one'));
    assert.equal(first.code, 0, first.err);
    assert.equal(first.out, 'the first\nanswer: é😀\n');
    const thread = first.err.match(/^thread: (\S+)$/m)[1];
    const second = await run(t, args(rig, '--thread', thread, 'two'));
    assert.equal(second.code, 0, second.err);
    assert.equal(second.out, 'the second\n');
    assert.deepEqual(told(await rig.model.request('two')),
        ['user: one', 'assistant: the first\nanswer: é😀', 'user: two']);
    await rig.untilClean();
});

test('Ctrl-C is heard by the model', async (t) => {
    const rig = await startRig(t);
    rig.model.on('think', hang('hm'));
    const process = cli(t, args(rig, 'think'));
    await process.shows('hm');
    process.kill('SIGINT');
    const { code, out } = await process.end();
    assert.equal(code, 130);
    assert.equal(out, 'hm\n');
    await (await rig.model.request('think')).cut();
    await rig.untilClean();
});

const COMMAND = (file) => shell(`touch ${file}`, { escalated: true });
const PATCH = (file) => shell([
    'apply_patch <<EOF', '*** Begin Patch', `*** Add File: ${file}`, '+x', '*** End Patch', 'EOF',
].join('\n'));

for (const [what, act, shown] of [
    ['a command', COMMAND, /wants to run a command[^]*touch made/],
    ['a change of files', PATCH, /wants to change files[^]*made \(add\)/],
]) {
    for (const [approve, verdict] of [['always', true], ['never', false]]) {
        test(`--approve ${approve} for ${what}`, async (t) => {
            const rig = await startRig(t, ASKING);
            const file = path.join(rig.home.cwd, 'made');
            rig.model.on('do it', steps(act('made'), say('done')));
            const { code, out, err } = await run(t, args(rig, '--approve', approve, 'do it'));
            assert.equal(code, 0, err);
            assert.equal(out, 'done\n');
            assert.match(err, shown);
            assert.equal(fs.existsSync(file), verdict);
            await rig.untilClean();
        });
    }

    test(`a person says yes to ${what}`, async (t) => {
        const rig = await startRig(t, ASKING);
        rig.model.on('do it', steps(act('made'), say('done')));
        const terminal = onTerminal(t, args(rig, 'do it'));
        await terminal.shows(/allow it\? \[y\/N\] /);
        assert.match(terminal.out, shown);
        assert.equal(fs.existsSync(path.join(rig.home.cwd, 'made')), false);
        terminal.write('y\n');
        assert.equal((await terminal.end()).code, 0);
        assert.equal(fs.existsSync(path.join(rig.home.cwd, 'made')), true);
    });
}

for (const [approve, granted] of [['always', { enabled: true }], ['never', null]]) {
    test(`--approve ${approve} for more permissions`, async (t) => {
        const settings = ['features.request_permissions_tool = true'];
        const home = { policy: 'on-request', sandbox: 'workspace-write', settings };
        const rig = await startRig(t, { home });
        const wanted = { reason: 'to look it up', permissions: { network: { enabled: true } } };
        rig.model.on('do it', steps((answer) => answer.call('request_permissions', wanted), say('done')));
        const { code, err } = await run(t, args(rig, '--approve', approve, 'do it'));
        assert.equal(code, 0, err);
        assert.match(err, /wants to have more permissions for this turn[^]*"enabled":true[^]*to look it up/);
        const [output] = rig.model.requests[1].outputs;
        assert.deepEqual(JSON.parse(output).permissions.network, granted);
    });
}

test('Ctrl-C at a question, which is then nobody\'s', async (t) => {
    const rig = await startRig(t, ASKING);
    rig.model.on('do it', steps(COMMAND('made'), say('done')));
    const terminal = onTerminal(t, args(rig, 'do it'));
    await terminal.shows(/allow it\? \[y\/N\] /);
    terminal.write(CTRL_C);
    assert.equal((await terminal.end()).code, 130);
    assert.equal(fs.existsSync(path.join(rig.home.cwd, 'made')), false);
    await rig.untilClean();
});
