// The rows of the table: what each loads, with what, and what it shows of it.

const stream = ({ count, size = 280, how = 'whole', clients = 1, workers = 1 }) => ({
    workers,
    load: (share) => ['stream', '--count', Math.max(1000, Math.round((count * share) / clients)), '--size', size, '--how', how,
        '--clients', clients],
    figures: ({ messages, bytes, seconds, cpuNs }) => ({
        'M/s': messages / seconds / 1e6, 'GB/s': bytes / seconds / 1e9, 'CPU ns': cpuNs / messages,
    }),
});

export const rows = {
    deltas: { title: '120 B deltas, big batches', ...stream({ count: 2e6 }) },
    clients: { title: 'the same, 4 clients on 2 workers', ...stream({ count: 2e6, clients: 4, workers: 2 }) },
    writes: { title: 'the same, each its own write', ...stream({ count: 1e6, how: 'each' }) },
    big: { title: '100 KB notifications', ...stream({ count: 1e4, size: 1e5 }) },
};
