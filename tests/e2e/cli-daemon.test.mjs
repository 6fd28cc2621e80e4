// codex-pool and codex-poold together, on a scripted Codex.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cli, onTerminal, run, shell, CTRL_C } from '../lib/cli.mjs';
import { startDaemon, startPool } from '../lib/daemon.mjs';
import { until } from '../lib/wait.mjs';

const args = (daemon, ...more) => ['--socket', daemon.socket, ...more];
const prompt = (request) => request.params.input[0].text;

/** A `run` whose turn has begun on a worker: [process, turn]. */
async function running(t, daemon, worker, text, ...options) {
    const process = cli(t, args(daemon, 'run', ...options, text));
    await worker.expect('turn/start', (params) => params.input[0].text === text);
    return [process, await until(() => worker.turn(), 'the turn runs')];
}

const idle = (daemon) => daemon.untilStatus((s) => s.pool.busy === 0 && s.queue.length === 0, 'all is idle');

test('a turn runs, its text streams, and its worker is free afterwards', async (t) => {
    const [daemon, worker] = await startPool(t);
    const [process, turn] = await running(t, daemon, worker, 'hi');
    turn.delta('Hel');
    await process.shows('Hel');
    turn.delta('lo');
    turn.complete();
    const { code, out, err } = await process.end();
    assert.equal(code, 0);
    assert.equal(out, 'Hello\n');
    assert.equal(err, `thread: ${turn.thread.id}\n`);
    assert.equal((await idle(daemon)).counters.aborted, 0);
});

test('the second waits on its terminal until the first is done', async (t) => {
    const [daemon, worker] = await startPool(t);
    const [first, turn] = await running(t, daemon, worker, 'first');
    const second = onTerminal(t, args(daemon, 'run', 'second'));
    await second.shows('waiting, place 1 of 1');
    const third = onTerminal(t, args(daemon, 'run', 'third'));
    await third.shows('waiting, place 2 of 2');
    turn.complete();
    assert.equal((await first.end()).code, 0);
    assert.equal(prompt(await worker.expect('turn/start')), 'second');
    await third.shows('waiting, place 1 of 1');
    third.write(CTRL_C);
    assert.equal((await third.end()).code, 130);
    worker.turn().delta('ready');
    worker.turn().complete();
    const { code, out } = await second.end();
    assert.equal(code, 0);
    assert.ok(out.includes('ready'));
    await idle(daemon);
    assert.equal(worker.received('turn/start').length, 2);
});

test('a conversation goes on in another process', async (t) => {
    const [daemon, worker] = await startPool(t);
    const [first, turn] = await running(t, daemon, worker, 'one');
    turn.complete();
    const thread = (await first.end()).err.match(/^thread: (\S+)$/m)[1];
    const [second, next] = await running(t, daemon, worker, 'two', '--thread', thread);
    assert.equal(next.thread.id, thread);
    next.delta('went on');
    next.complete();
    const { code, out } = await second.end();
    assert.equal(code, 0);
    assert.equal(out, 'went on\n');
});

test('a thread that nobody knows', async (t) => {
    const [daemon] = await startPool(t);
    const { code, err } = await run(t, args(daemon, 'run', '--thread', 'nothing', 'hi'));
    assert.equal(code, 1);
    assert.match(err, /no rollout found for thread id nothing/);
});

test('Ctrl-C interrupts at the model', async (t) => {
    const [daemon, worker] = await startPool(t);
    const [process, turn] = await running(t, daemon, worker, 'hi');
    turn.delta('so far');
    await process.shows('so far');
    process.kill('SIGINT');
    const interrupt = await worker.expect('turn/interrupt');
    assert.equal(interrupt.params.turnId, '');
    const { code, out } = await process.end();
    assert.equal(code, 130);
    assert.equal(out, 'so far\n');
    await idle(daemon);
});

for (const [what, leave] of [['is killed', (process) => process.kill('SIGKILL')],
    ['loses its reader', (process) => process.child.stdout.destroy()]]) {
    test(`a client that ${what} is aborted, and the next in line is served`, async (t) => {
        const [daemon, worker] = await startPool(t);
        const [first, turn] = await running(t, daemon, worker, 'first');
        turn.delta('so far');
        await first.shows('so far');
        const second = cli(t, args(daemon, 'run', 'second'));
        await daemon.untilStatus((s) => s.queue.length === 1, 'the second waits');
        leave(first);
        await worker.expect('turn/interrupt');
        await worker.expect('thread/unsubscribe');
        await worker.expect('turn/start', (params) => params.input[0].text === 'second');
        (await until(() => worker.turn(), 'its turn runs')).complete();
        assert.equal((await second.end()).code, 0);
        await first.end();
        await idle(daemon);
    });
}

test('| head -1 aborts the turn', async (t) => {
    const [daemon, worker] = await startPool(t);
    const script = '("$CODEX_POOL" --socket "$S" run hi; echo "exit $?" >&2) | head -n 1';
    const process = shell(t, script, { env: { S: daemon.socket } });
    const turn = await until(() => worker.turn?.(), 'the turn runs');
    turn.delta('one\ntwo\n');
    const { out, err } = await process.end();
    assert.equal(out, 'one\n');
    assert.match(err, /exit 1/);
    await worker.expect('turn/interrupt');
    await idle(daemon);
});

test('approvals reach the worker', async (t) => {
    const [daemon, worker] = await startPool(t);
    for (const [approve, decision] of [['always', 'accept'], ['never', 'decline']]) {
        const [process, turn] = await running(t, daemon, worker, approve, '--approve', approve);
        const params = { threadId: turn.thread.id, turnId: turn.id, itemId: 'i', command: 'ls', cwd: '/' };
        const answer = await worker.ask('item/commandExecution/requestApproval', params);
        assert.deepEqual(answer.result, { decision });
        const refused = await worker.ask('item/tool/call', { ...params, tool: 'lookup' });
        assert.equal(refused.error.code, -32601);
        turn.complete();
        assert.equal((await process.end()).code, 0);
    }
});

test('a person on a terminal is asked', async (t) => {
    const [daemon, worker] = await startPool(t);
    const terminal = onTerminal(t, args(daemon, 'run', 'hi'));
    await worker.expect('turn/start');
    const turn = worker.turn();
    const params = { threadId: turn.thread.id, itemId: 'i', command: 'make coffee', cwd: '/' };
    const answer = worker.ask('item/commandExecution/requestApproval', params);
    await terminal.shows(/make coffee[^]*\[y\/N\] /);
    terminal.write('y\n');
    assert.deepEqual((await answer).result, { decision: 'accept' });
    turn.complete();
    assert.equal((await terminal.end()).code, 0);
});

test('--json has the daemon\'s notifications and Codex\'s', async (t) => {
    const [daemon, worker] = await startPool(t);
    const [process, turn] = await running(t, daemon, worker, 'hi', '--json');
    turn.delta('x');
    turn.complete();
    const { code, out } = await process.end();
    assert.equal(code, 0);
    const methods = out.trim().split('\n').map((line) => JSON.parse(line).method);
    for (const method of ['pool/assigned', 'turn/started', 'item/agentMessage/delta', 'turn/completed'])
        assert.ok(methods.includes(method), `${method} in ${methods}`);
});

test('a failed turn, and a worker that dies under it', async (t) => {
    const [daemon, worker] = await startPool(t);
    const [first, turn] = await running(t, daemon, worker, 'one');
    turn.fail('the model is out');
    const failed = await first.end();
    assert.equal(failed.code, 1);
    assert.match(failed.err, /the turn failed: the model is out/);
    const [second] = await running(t, daemon, worker, 'two');
    await worker.die('SIGKILL');
    const { code, err } = await second.end();
    assert.equal(code, 1);
    assert.match(err, /Worker exited/);
});

test('worth another try: a full queue, a wait that was too long, a shutdown', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { maxQueue: 1 } });
    const [first, turn] = await running(t, daemon, worker, 'first');
    const waiting = cli(t, args(daemon, 'run', 'second'));
    await daemon.untilStatus((s) => s.queue.length === 1, 'the second waits');
    const full = await run(t, args(daemon, 'run', 'third'));
    assert.equal(full.code, 75);
    assert.match(full.err, /Server overloaded; retry later\. \(-32001\)\n.*maxQueue/);
    assert.equal((await run(t, args(daemon, 'call', 'pool/acquire'))).code, 75);

    daemon.signal('SIGTERM');
    const { code, err } = await waiting.end();
    assert.equal(code, 75);
    assert.match(err, /Worker pool has been shut down\. \(-32012\)/);
    turn.delta('may finish');
    turn.complete();
    assert.equal((await first.end()).out, 'may finish\n');
});

test('a wait that was too long', async (t) => {
    const [daemon, worker] = await startPool(t, 1, { config: { acquireTimeoutMs: 50 } });
    const [first, turn] = await running(t, daemon, worker, 'first');
    const { code, err } = await run(t, args(daemon, 'run', 'second'));
    assert.equal(code, 75);
    assert.match(err, /Worker acquisition timed out after 50 ms\. \(-32010\)/);
    turn.complete();
    assert.equal((await first.end()).code, 0);
});

test('a Codex that cannot be started is told by run and by status', async (t) => {
    const config = { poolSize: 1, codex: { command: '/no/such/codex' } };
    const daemon = await startDaemon(t, { fake: false, config });
    const { code, err } = await run(t, args(daemon, 'run', 'hi'));
    assert.equal(code, 1);
    assert.match(err, /Cannot start codex: .*\(-32015\)\n.*codex-pool status/);
    await daemon.untilStatus((s) => s.pool.down === 1, 'the worker is down');
    const status = await run(t, args(daemon, 'status'));
    assert.equal(status.code, 0);
    assert.match(status.out, /^1 of 1 workers is down: Cannot start codex: \/no\/such\/codex: No such file/m);
});

test('status, ping and call', async (t) => {
    const [daemon, worker] = await startPool(t, 1);
    const [process, turn] = await running(t, daemon, worker, 'hi');
    const { out } = await run(t, args(daemon, 'status'));
    assert.match(out, /^daemon +codex-poold \d+\.\d+\.\d+, pid \d+, up /m);
    assert.match(out, new RegExp(`^ +1 +busy .* ${turn.thread.id}$`, 'm'));
    assert.match(out, /^ +\d+ +codex-pool +1 /m);
    const json = JSON.parse((await run(t, args(daemon, 'status', '--json'))).out);
    assert.equal(json.workers[0].turn.threadId, turn.thread.id);
    assert.match((await run(t, args(daemon, 'ping'))).out, new RegExp(`pid ${daemon.pid}, `));
    const params = JSON.stringify({ threadId: turn.thread.id });
    const read = await run(t, args(daemon, 'call', 'thread/read', params));
    assert.equal(read.code, 0, read.err);
    turn.complete();
    await process.end();
    const missing = await run(t, args(daemon, 'call', 'turn/start', '{"threadId":"x","input":[]}'));
    assert.equal(missing.code, 1);
    assert.match(missing.err, /thread not found: x/);
});

test('what a call holds is given back with its end, and Ctrl-C takes it out of the queue', async (t) => {
    const [daemon, worker] = await startPool(t);
    const { out } = await run(t, args(daemon, 'call', 'pool/acquire'));
    assert.deepEqual(JSON.parse(out), { worker: 1, waitedMs: 0 });
    await idle(daemon);
    const [process, turn] = await running(t, daemon, worker, 'hi');
    const waiting = cli(t, args(daemon, 'call', 'pool/acquire'));
    await daemon.untilStatus((s) => s.queue.length === 1, 'it waits');
    waiting.kill('SIGINT');
    assert.equal((await waiting.end()).code, 130);
    await daemon.untilStatus((s) => s.queue.length === 0, 'it waits no more');
    turn.complete();
    assert.equal((await process.end()).code, 0);
});

test('a message that is too large', async (t) => {
    const daemon = await startDaemon(t, { config: { poolSize: 1, maxMessageBytes: 1024 } });
    await daemon.fake.worker();
    const params = JSON.stringify({ x: 'y'.repeat(2000) });
    const { code, err } = await run(t, args(daemon, 'call', 'pool/ping', params));
    assert.equal(code, 1);
    assert.match(err, /\(-32016\)\n.*maxMessageBytes/);
});

/** JSON lines over a bridge. */
class Bridge {
    constructor(t, daemon) {
        this.process = cli(t, args(daemon, 'app-server', '--listen', 'stdio://'), { openInput: true });
        this.lastId = 0;
    }

    send(message) { this.process.write(`${JSON.stringify(message)}\n`); }

    /** The answer to a request. */
    async request(method, params) {
        const id = ++this.lastId;
        this.send({ id, method, params });
        const answer = () => this.messages().find((m) => m.id === id && !m.method);
        return until(answer, `an answer to ${method}`);
    }

    messages() {
        const end = this.process.out.lastIndexOf('\n') + 1;
        return this.process.out.slice(0, end).split('\n').filter(Boolean).map((line) => JSON.parse(line));
    }
}

test('app-server is a codex of one\'s own', async (t) => {
    const [daemon, worker] = await startPool(t);
    const bridge = new Bridge(t, daemon);
    const { result } = await bridge.request('initialize', { clientInfo: { name: 'chat', version: '1' } });
    assert.ok(result.userAgent);
    bridge.send({ method: 'initialized' });
    const started = await bridge.request('thread/start', {});
    const threadId = started.result.thread.id;
    const large = 'é'.repeat(10 << 20);
    const answer = bridge.request('turn/start', { threadId, input: [{ type: 'text', text: large }] });
    assert.equal(prompt(await worker.expect('turn/start')), large);
    await answer;
    worker.turn(threadId).delta(large);
    worker.turn(threadId).complete();
    await until(() => bridge.process.out.includes('"turn/completed"'), 'the turn is complete');
    assert.equal(bridge.messages().find((m) => m.method === 'item/agentMessage/delta').params.delta, large);
    bridge.process.child.stdin.end();
    const { code, err } = await bridge.process.end();
    assert.equal(code, 0);
    assert.equal(err, '');
    await idle(daemon);
});

test('the end of app-server\'s input aborts what it had', async (t) => {
    const [daemon, worker] = await startPool(t);
    const bridge = new Bridge(t, daemon);
    await bridge.request('initialize', { clientInfo: { name: 'chat', version: '1' } });
    const threadId = (await bridge.request('thread/start', {})).result.thread.id;
    await bridge.request('turn/start', { threadId, input: [{ type: 'text', text: 'x' }] });
    bridge.process.child.stdin.end();
    await worker.expect('turn/interrupt');
    await worker.expect('thread/unsubscribe');
    assert.equal((await bridge.process.end()).code, 0);
    await idle(daemon);
});

test('app-server ends with the daemon', async (t) => {
    const [daemon] = await startPool(t);
    const bridge = new Bridge(t, daemon);
    await bridge.request('initialize', { clientInfo: { name: 'chat', version: '1' } });
    daemon.signal('SIGTERM');
    const { code, err } = await bridge.process.end();
    assert.equal(code, 69);
    assert.match(err, /closed the connection/);
});
