// The Node.js client as the tests use it: a transport whose messages can be awaited.
import { connect } from '../../client/node/src/index.js';
import { Mailbox, within } from './wait.mjs';

/** A transport that is closed with the test, its messages in `box`, its end in `ended`. */
export async function open(t, daemon, options = {}) {
    const transport = await within(connect({ socket: daemon.socket, ...options }), 'a worker');
    t.after(() => transport.close());
    return listened(transport);
}

export function listened(transport) {
    const box = new Mailbox('transport');
    transport.onMessage((message) => box.put(message));
    const ended = new Promise((resolve) => transport.onClose(resolve));
    return Object.assign(transport, {
        box,
        ended,
        next: (method, filter = () => true) =>
            box.take((m) => m.method === method && filter(m.params ?? {}), method),
        answer: (id) => box.take((m) => m.method === undefined && m.id === id, `an answer to ${id}`),
    });
}

/** Says who it is, opens a thread and starts a turn on it: the thread's id. */
export async function converse(transport, text = 'hello') {
    await greet(transport);
    const { thread } = await transport.request('thread/start', {});
    await transport.request('turn/start', { threadId: thread.id, input: [{ type: 'text', text }] });
    await transport.next('turn/started');
    return thread.id;
}

export async function greet(transport) {
    await transport.request('initialize', {
        clientInfo: { name: 'node', title: null, version: '1' }, capabilities: { experimentalApi: true },
    });
    await transport.send({ method: 'initialized' });
}

/** So many rounds of this process's loop: enough for whatever could happen in it to happen. */
export async function rounds(n = 1000) {
    for (let i = 0; i < n; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** Ends a daemon as hard as can be. */
export async function kill(daemon) {
    daemon.signal('SIGKILL');
    await within(daemon.exited, 'the daemon to be gone');
}

/** On the same socket. */
export async function startAgain(daemon) {
    daemon.exit = undefined;
    daemon.spawn();
    await daemon.ready();
}
