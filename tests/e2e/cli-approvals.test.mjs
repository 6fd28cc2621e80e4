// What codex-pool run answers without a terminal when Codex asks.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startRun, THREAD } from '../lib/played-daemon.mjs';

const PERMISSIONS = { network: { enabled: true }, fileSystem: { read: null, write: ['/x'] } };
const DENIED = { decision: { denied: { rejection: 'declined' } } };
const APPROVALS = [
    {
        method: 'item/commandExecution/requestApproval',
        params: { threadId: THREAD, itemId: 'i', command: 'rm -rf /', cwd: '/home/x', reason: 'to tidy up' },
        shown: ['rm -rf /', '/home/x', 'to tidy up', 'run a command'],
        accept: { decision: 'accept' }, decline: { decision: 'decline' },
    },
    {
        method: 'item/commandExecution/requestApproval',
        params: {
            threadId: THREAD, kind: 'writeStdin', command: 'yes',
            networkApprovalContext: { host: 'example.org', protocol: 'https' },
        },
        shown: ['type into a running command', 'example.org'],
        accept: { decision: 'accept' }, decline: { decision: 'decline' },
    },
    {
        method: 'item/fileChange/requestApproval',
        params: { threadId: THREAD, itemId: 'change', reason: 'because', grantRoot: '/srv' },
        shown: ['change files', '/srv', 'because', 'a.txt (update)', 'b.txt (add)'],
        accept: { decision: 'accept' }, decline: { decision: 'decline' },
    },
    {
        method: 'item/permissions/requestApproval',
        params: { threadId: THREAD, itemId: 'i', cwd: '/x', reason: null, permissions: PERMISSIONS },
        shown: ['have more permissions', '/x', '"write":["/x"]'],
        accept: { permissions: PERMISSIONS, scope: 'turn' }, decline: { permissions: {}, scope: 'turn' },
    },
    {
        method: 'execCommandApproval',
        params: { conversationId: THREAD, command: ['git', 'push', '--force'], cwd: '/x', reason: null },
        shown: ['git push --force', '/x'],
        accept: { decision: 'approved' }, decline: DENIED,
    },
    {
        method: 'applyPatchApproval',
        params: { conversationId: THREAD, fileChanges: { '/x/y': { type: 'delete', content: '' } } },
        shown: ['/x/y (delete)'],
        accept: { decision: 'approved' }, decline: DENIED,
    },
];

const CHANGE = {
    type: 'fileChange', id: 'change', status: 'inProgress',
    changes: [
        { path: 'a.txt', kind: { type: 'update', move_path: null }, diff: '' },
        { path: 'b.txt', kind: { type: 'add' }, diff: '' },
    ],
};

for (const [args, verdict, word] of [
    [[], 'decline', 'declined'],
    [['--approve', 'ask'], 'decline', 'declined'],
    [['--approve', 'never'], 'decline', 'declined'],
    [['--approve=always'], 'accept', 'accepted'],
]) {
    test(`without a terminal, ${args.join(' ') || 'by default'}, approvals are ${word}`, async (t) => {
        const { process, peer } = await startRun(t, { args: [...args, 'hi'] });
        peer.notify('item/started', { threadId: THREAD, item: CHANGE });
        for (const [i, approval] of APPROVALS.entries()) {
            const id = i % 2 ? `string-${i}` : i;
            peer.send({ id, method: approval.method, params: approval.params });
            assert.deepEqual((await peer.answer(id)).result, approval[verdict], approval.method);
        }
        peer.complete();
        const { code, err } = await process.end();
        assert.equal(code, 0);
        assert.equal(err.split(word).length - 1, APPROVALS.length);
        assert.equal(err.includes('no terminal to ask on'), word === 'declined' && !args.includes('never'));
        APPROVALS.flatMap((each) => each.shown).forEach((text) => assert.ok(err.includes(text), text));
    });
}

test('what else it is asked is refused, and the turn goes on', async (t) => {
    const { process, peer } = await startRun(t, { args: ['--approve', 'always', 'hi'] });
    const asked = ['item/tool/call', 'item/tool/requestUserInput', 'mcpServer/elicitation/request',
        'account/chatgptAuthTokens/refresh', 'something/new'];
    for (const [i, method] of asked.entries()) {
        peer.send({ id: i, method, params: { threadId: THREAD } });
        const { error } = await peer.answer(i);
        assert.equal(error.code, -32601);
        assert.match(error.message, new RegExp(method));
        await process.shows(method, 'err');
    }
    peer.complete();
    assert.equal((await process.end()).code, 0);
});
