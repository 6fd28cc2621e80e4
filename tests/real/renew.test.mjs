// An upgrade of Codex under a chat server that never disconnects.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { codexBinary } from '../lib/codex-home.mjs';
import { say } from '../lib/model-server.mjs';
import { told, turn } from './rig.mjs';
import { Stage } from './twin.mjs';

test('an upgraded Codex takes over the conversations that are open, one worker at a time', async (t) => {
    const dir = fs.mkdtempSync(path.join(process.env.TMPDIR ?? '/tmp', 'codex-pool-upgrade-'));
    t.after(() => fs.rmSync(dir, { recursive: true }));
    const command = path.join(dir, 'codex');
    const install = (version) =>
        fs.writeFileSync(command, `#!/bin/sh\n# ${version}\nexec '${codexBinary()}' "$@"\n`, { mode: 0o755 });
    install('old');
    const { rig } = await Stage.start(t, { codex: { command } });
    rig.model.on('', say('ok'));
    const client = await rig.connect('chat server');
    const threads = [];
    for (let i = 0; i < 4; i++) {
        threads.push(await client.startThread({ cwd: rig.home.cwd, sandbox: 'workspace-write' }));
        await turn(client, threads[i], `hello ${i}`);
    }
    const before = (await rig.daemon.status()).workers.map(({ pid }) => pid);
    client.notifications.length = 0;
    install('new');
    rig.daemon.signal('SIGHUP');
    const { counters } = await rig.daemon.untilStatus(
        ({ workers, pool }) => pool.ready === 2 && workers.every((w) => !before.includes(w.pid) && !w.replace),
        'both workers are new',
    );
    assert.ok(counters.moves >= 4 && counters.movesFailed === 0, JSON.stringify(counters));
    assert.deepEqual(client.notifications.filter(({ method }) => !method.startsWith('pool/')), []);
    for (const [i, threadId] of threads.entries()) {
        assert.equal((await turn(client, threadId, `again ${i}`)).text, 'ok');
        const [asked] = rig.model.asked(`again ${i}`);
        assert.deepEqual(told(asked), [`user: hello ${i}`, 'assistant: ok', `user: again ${i}`]);
        assert.match(JSON.stringify(asked.body), /workspace-write/);
    }
});
