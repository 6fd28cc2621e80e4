// The programs of Codex itself that talk to an app-server by WebSocket, on the pool's socket.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { Duplex } from 'node:stream';
import test from 'node:test';
import { WebSocket } from 'ws';
import { codexBinary } from '../lib/codex-home.mjs';
import { hold, say, shell, spawnAgent, steps, waitAgent } from '../lib/model-server.mjs';
import { Tui, hasTmux } from '../lib/tui.mjs';
import { until, within } from '../lib/wait.mjs';
import { startRig, turn } from './rig.mjs';

const noTmux = !hasTmux() && !process.env.CI && 'tmux is not installed';
/** Beside each first turn it asks the model for a title, in a thread of its own. */
const TITLE = /^Generate a concise/;

const prompts = (rig) => rig.model.requests.map((request) => request.prompt);

test('codex app-server proxy: stdio to the socket', async (t) => {
    const rig = await startRig(t);
    rig.model.on('hello', say('hello yourself', { deltas: 3 }));
    const proxy = spawn(codexBinary(), ['app-server', 'proxy', '--sock', rig.daemon.socket], {
        env: { PATH: process.env.PATH, ...rig.home.env }, stdio: ['pipe', 'pipe', 'inherit'],
    });
    const exited = new Promise((resolve) => proxy.once('exit', resolve));
    t.after(() => proxy.kill('SIGKILL'));
    const createConnection = () => Duplex.from({ readable: proxy.stdout, writable: proxy.stdin });
    const ws = new WebSocket('ws://localhost/rpc', { createConnection, perMessageDeflate: false });
    const said = [];
    ws.on('message', (data) => said.push(JSON.parse(data)));
    await within(new Promise((resolve, reject) => ws.once('open', resolve).once('error', reject)), 'a WebSocket');
    const call = async (id, method, params) => {
        ws.send(JSON.stringify({ id, method, params }));
        await until(() => said.some((m) => m.id === id), `the answer to ${method}`);
        return said.find((m) => m.id === id).result;
    };
    await call(1, 'initialize', { clientInfo: { name: 'proxied', version: '1' } });
    const { thread } = await call(2, 'thread/start', { cwd: rig.home.cwd });
    await call(3, 'turn/start', { threadId: thread.id, input: [{ type: 'text', text: 'hello' }] });
    await until(() => said.some((m) => m.method === 'turn/completed'), 'the end of the turn');
    assert.equal(said.filter((m) => m.method === 'item/agentMessage/delta').map((m) => m.params.delta).join(''),
        'hello yourself');
    ws.close();
    await within(exited, 'the end of the proxy');
    await rig.untilClean();
});

test('codex --remote: a turn on a pool of one, and quitting', { skip: noTmux }, async (t) => {
    const rig = await startRig(t);
    rig.model.on('hello', say('hello yourself', { deltas: 3 }));
    rig.model.on('again', say('and again'));
    const tui = await Tui.start(rig);
    await rig.daemon.untilStatus((s) => s.clients.some((c) => c.name === 'codex-tui' && c.transport === 'websocket'),
        'it is a client');
    await tui.enter('hello');
    await tui.shows('• hello yourself');
    await until(() => prompts(rig).some((text) => TITLE.test(text)), 'its second thread has had its turn, too');
    await tui.enter('again');
    await tui.shows('• and again');
    await tui.quit();
    await rig.daemon.untilStatus((s) => s.clients.every((c) => c.name !== 'codex-tui'), 'it has left');
    await rig.untilClean();
});

test('codex --remote: others have their turn, Esc interrupts, and the conversation is resumed', { skip: noTmux },
    async (t) => {
        const rig = await startRig(t);
        rig.model.on('hello', say('hello yourself'));
        rig.model.on('long', hold('it begins', ' it ends'));
        rig.model.on('after', say('that was it'));
        rig.model.on('once more', say('one more'));
        rig.model.on('other', say('for the other'));
        const tui = await Tui.start(rig);
        await tui.enter('hello');
        await tui.shows('• hello yourself');
        await tui.enter('long');
        await tui.shows('it begins');
        const asked = await rig.model.request('long');
        const other = await rig.connect('other');
        const { answer } = await rig.waiting(other);
        tui.key('Escape');
        await asked.cut();
        const { thread } = await answer;
        assert.equal((await turn(other, thread.id, 'other')).text, 'for the other');
        await tui.shows('Conversation interrupted');
        await tui.enter('after');
        await tui.shows('• that was it');
        const threadId = rig.model.requests.find((request) => request.prompt === 'long').threadId;
        await tui.quit();
        await other.close();
        await rig.untilClean();
        const again = await Tui.start(rig, ['resume', threadId]);
        await again.shows('• that was it');
        await again.enter('once more');
        await again.shows('• one more');
        const { history } = rig.model.requests.find((request) => request.prompt === 'once more');
        assert.ok(history.some((message) => message.text === 'long'), 'the model is told what was before');
        await again.quit();
        await rig.untilClean();
    });

test('codex --remote: a command is approved', { skip: noTmux }, async (t) => {
    const rig = await startRig(t, { home: { policy: 'on-request', sandbox: 'read-only' } });
    rig.model.on('do it', steps(shell('echo approved-$((40+2))', { escalated: true }), say('done')));
    const tui = await Tui.start(rig);
    await tui.enter('do it');
    await tui.shows('Would you like to run the following command?');
    await tui.press('y', (screen) => !screen.includes('Would you like to run'));
    await tui.shows('approved-42');
    await tui.shows('• done');
    await tui.quit();
    await rig.untilClean();
});

test('codex --remote: a second one waits for the worker of the first', { skip: noTmux }, async (t) => {
    const rig = await startRig(t);
    rig.model.on('mine', hold('it begins', ' it ends'));
    rig.model.on('yours', say('yours it is'));
    rig.model.on('Generate a concise', say('{"title":"a title"}'));
    const first = await Tui.start(rig);
    await first.enter('mine');
    await first.shows('it begins');
    const asked = await rig.model.request('mine');
    const second = await Tui.start(rig);
    await rig.daemon.untilStatus((s) => s.clients.filter((c) => c.name === 'codex-tui' && c.waiting > 0).length === 2,
        'its thread waits, as does the title of the first');
    await second.enter('yours');
    assert.equal(prompts(rig).includes('yours'), false);
    asked.release();
    await first.shows('• it begins it ends');
    await second.shows('• yours it is');
    await Promise.all([first.quit(), second.quit()]);
    await rig.untilClean();
});

test('codex --remote: a sub-agent that asks is looked at while its parent waits for it', { skip: noTmux }, async (t) => {
    const rig = await startRig(t, { home: { policy: 'on-request', sandbox: 'read-only' } });
    rig.model.on('look around', steps(shell('echo approved-$((40+2))', { escalated: true }), say('looked around')));
    rig.model.on('delegate', steps(spawnAgent('look around'), waitAgent(), say('all done')));
    rig.model.on('Generate a concise', say('{"title":"a title"}'));
    const tui = await Tui.start(rig);
    await tui.enter('delegate');
    await tui.shows('or o to open thread');
    await tui.press('o', (screen) => screen.includes('› look around'));
    await tui.shows('Would you like to run the following command?');
    await tui.press('y', (screen) => !screen.includes('Would you like to run'));
    await tui.shows('approved-42');
    await tui.shows('• looked around');
    await until(() => prompts(rig).some((text) => TITLE.test(text)), 'its second thread has had its turn, too');
    await tui.quit();
    await rig.untilClean();
});

test('codex --remote: aside of a turn that runs', { skip: noTmux }, async (t) => {
    const rig = await startRig(t);
    rig.model.on('long', hold('it begins', ' it ends'));
    rig.model.on('aside', say('by the way'));
    rig.model.on('Generate a concise', say('{"title":"a title"}'));
    const tui = await Tui.start(rig);
    await tui.enter('long');
    await tui.shows('it begins');
    const asked = await rig.model.request('long');
    await tui.enter('/side aside');
    await tui.shows('• by the way');
    // Once: one more would be for the main conversation.
    tui.key('C-c');
    await until(() => !tui.screen.includes('Side from main thread') && tui.screen.includes('it begins'), 'the main one is back');
    assert.equal(asked.state, 'open');
    tui.key('Escape');
    await asked.cut();
    await tui.shows('Conversation interrupted');
    await tui.quit();
    await rig.untilClean();
});
