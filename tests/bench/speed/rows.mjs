// The rows of the table: what each loads and with what, what it shows of it, and the goals.
//   on         who can be measured; `pin`: all on one core; `fresh`: started anew for each round
//   load       the load generator's arguments; `share` of the messages that go through in the same time
//   fewer      the rounds are divided by it, where one takes long; `even`: a message costs all about the same
//   figures    what a run comes to, by name; `shown`: which of them, with how many digits; `hidden`: not of these
//   instructions  counted for the daemon: of so many messages, `load(count)`
//   goals      what is asked of codex-poold
import { atLeast, atMost, limit } from './report.mjs';

const ALL = ['direct', 'floor', 'socat', 'node', 'poold'];
const POOLS = ['node', 'poold'];

const stream = ({ count, size = 280, how = 'whole', clients = 1, workers = 1, figure = 'M/s', counted }) => ({
    on: ALL, workers,
    load: (share) => ['stream', '--size', size, '--how', how, '--clients', clients,
        '--count', Math.max(20, Math.round((count * share) / clients))],
    figures: ({ messages, bytes, seconds, cpuNs }) => ({
        [figure]: (figure === 'M/s' ? messages / 1e6 : bytes / 1e9) / seconds, 'CPU ns': cpuNs / messages,
    }),
    shown: { [figure]: 3, 'CPU ns': 0 },
    instructions: counted && {
        count: counted, load: (n) => ['stream', '--size', size, '--how', how, '--count', n],
    },
});

const trips = {
    on: ALL, workers: 1, pin: true,
    load: (share) => ['trips', '--count', Math.max(500, Math.round(20000 * share))],
    even: true, instructions: { count: 2000, load: (n) => ['trips', '--count', n] },
    figures: ({ messages, p50us, p99us, cpuNs }) => ({ 'p50 us': p50us, 'p99 us': p99us, 'CPU ns': cpuNs / messages }),
    shown: { 'p50 us': 1, 'p99 us': 1, 'CPU ns': 0 },
};

const LONG = 64 * 1024 * 1024;
const MB = 1024 * 1024;
const line = {
    // One byte less than the longest line that the daemon takes, its newline not counted.
    on: [...ALL, 'whole'], workers: 1, fresh: true, fewer: 3, load: (share, fast) => ['line', '--size', fast ? LONG / 16 : LONG - 64],
    figures: ({ seconds, cpuNs, peakBytes, keptBytes, bytes }) => ({
        ms: seconds * 1000, 'CPU ms': cpuNs / 1e6, 'peak beyond a line MB': Math.max(0, peakBytes - bytes) / MB,
        'kept MB': keptBytes / MB,
    }),
    shown: { ms: 0, 'CPU ms': 0, 'peak beyond a line MB': 1, 'kept MB': 1 },
    // Its memory is that of a child.
    hidden: { socat: ['peak beyond a line MB', 'kept MB'] },
};

const handoff = (waiters, count) => ({
    on: [...POOLS, 'grants'], workers: 1, pin: true, even: true, fewer: waiters > 1000 ? 2 : 1,
    load: (share, fast) => ['handoff', '--clients', fast ? Math.min(waiters, 1000) : waiters,
        '--count', fast ? Math.min(count, 3000) : count],
    figures: ({ us, cpuNs, messages }) => ({ us, 'CPU ns': cpuNs / messages }),
    shown: { us: 1, 'CPU ns': 0 },
    instructions: waiters < 1000 && { count: 2000, load: (n) => ['handoff', '--clients', waiters, '--count', n] },
});

/** `rate`: messages a second beside; 0: as fast as they are taken. */
const quiet = (rate) => ({
    on: ['floor', 'socat', 'node', 'poold'], workers: 2, fresh: true, fewer: 2,
    load: (share, fast) => ['quiet', '--size', 1e5, '--how', 'each', '--rate', rate, '--count', fast ? 200 : 1000],
    figures: ({ idleP99us, busyP99us, beside }) => ({
        'idle p99 us': idleP99us, 'busy p99 us': busyP99us, 'busy/idle': busyP99us / idleP99us, 'beside GB/s': beside / 1e9,
    }),
    shown: { 'idle p99 us': 0, 'busy p99 us': 0, 'busy/idle': 2, 'beside GB/s': 2 },
    goals: [limit('busy/idle', 3)],
});

export const rows = {
    deltas: {
        title: '120 B deltas, big batches', ...stream({ count: 1.5e6, counted: 50000 }),
        goals: [atLeast('M/s', 0.7, 'floor'), atLeast('M/s', 1.7, 'socat'), atLeast('M/s', 25, 'node'), atMost('CPU ns', 1.6, 'floor')],
    },
    clients: {
        title: 'the same, 4 clients on 2 workers', ...stream({ count: 1.5e6, clients: 4, workers: 2 }),
        goals: [atLeast('M/s', 0.6, 'floor'), atLeast('M/s', 20, 'node')],
    },
    writes: {
        title: 'the same, each its own write', ...stream({ count: 5e5, how: 'each', counted: 50000 }),
        goals: [atLeast('M/s', 0.95, 'floor'), atLeast('M/s', 2.5, 'socat'), atLeast('M/s', 12, 'node'), atMost('CPU ns', 1.2, 'floor')],
    },
    big: {
        title: '100 KB notifications', ...stream({ count: 6e3, size: 1e5, figure: 'GB/s', counted: 500 }),
        goals: [atLeast('GB/s', 0.85, 'floor'), atLeast('GB/s', 10, 'node')],
    },
    trips: {
        title: 'round trip, all on one core', ...trips,
        goals: [atMost('p50 us', 1.1, 'floor'), atMost('p99 us', 1.1, 'floor')],
    },
    line: {
        title: 'one 64 MB line each way', ...line,
        goals: [atMost('ms', 1.15, 'floor'), atMost('CPU ms', 2, 'floor'),
            limit('peak beyond a line MB', 10), limit('kept MB', 1)],
    },
    scan: {
        title: 'envelope, a 280 B line', on: ['cjson', 'poold'], scan: 280,
        figures: (of) => ({ ns: of.ns, allocations: of.allocations }), shown: { ns: 1, allocations: 0 },
        goals: [atMost('ns', 0.167, 'cjson'), limit('allocations', 0)],
    },
    scanBig: {
        title: 'envelope, a 100 KB line', on: ['cjson', 'poold'], scan: 100000,
        figures: (of) => ({ ns: of.ns, allocations: of.allocations }), shown: { ns: 0, allocations: 0 },
        goals: [limit('allocations', 0)],
    },
    handoff: {
        title: 'handoff, 10 waiters, all on one core', ...handoff(10, 5000),
        goals: [atMost('us', 0.467, 'node')],
    },
    handoffMany: {
        title: 'handoff, 10,000 waiters, all on one core', ...handoff(10000, 15000),
        goals: [{
            figure: 'us', text: '<= 1.2 of 10 waiters', value: (of, name, all) => of[name]?.us / all.handoff?.[name]?.us,
            met: (ratio) => ratio <= 1.2,
        }],
    },
    waiters: {
        title: 'memory per waiter, 10,000 of them', on: POOLS, workers: 1, fresh: true, fewer: 3,
        load: (share, fast) => ['waiters', '--clients', fast ? 2000 : 10000],
        figures: ({ bytesEach }) => ({ 'PSS B': bytesEach }), shown: { 'PSS B': 0 },
        goals: [limit('PSS B', 1024)],
    },
    fair: {
        title: 'turns of 8 clients on 2 workers', on: [...POOLS, 'stays'], workers: 2,
        load: (share, fast) => ['fair', '--clients', 8, '--seconds', fast ? 0.3 : 1],
        figures: ({ perSecond, most: best, fewest, cpuNs, messages }) => ({
            'turns/s': perSecond, 'best/worst': best / fewest, 'CPU ns': cpuNs / messages,
        }),
        shown: { 'turns/s': 0, 'best/worst': 3, 'CPU ns': 0 },
        goals: [atLeast('turns/s', 2, 'node'), limit('best/worst', 1.05)],
    },
    quiet: { title: 'a quiet client beside 1,000 messages of 100 KB a second', ...quiet(1000) },
    quietFull: { title: 'the same, as many messages as go through', ...quiet(0) },
};
