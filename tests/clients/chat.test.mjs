// The chat server of the example as its users see it: in a browser, on a pool of one.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { Browser, browserProgram } from '../lib/browser.mjs';
import { cleanEnv, pool } from '../lib/daemon.mjs';
import { hang, hold, say } from '../lib/model-server.mjs';
import { within } from '../lib/wait.mjs';
import { startRig, told } from '../real/rig.mjs';

const SERVER = fileURLToPath(new URL('../../client/node/example/server.mjs', import.meta.url));
const SHOTS = fileURLToPath(new URL('../../build/screenshots/', import.meta.url));
const skip = browserProgram() ? false : 'no Chromium is installed (tests/install-deps.sh browser)';

/** The server on a pool of its own: { rig, address }. */
async function startChat(t) {
    const rig = await startRig(t);
    const child = spawn(process.execPath, [SERVER], {
        cwd: rig.home.cwd,
        env: { ...cleanEnv(), CODEX_POOL: pool, CODEX_POOL_SOCKET: rig.daemon.socket, MODEL: 'local' },
        stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = once(child, 'exit');
    // Before its pool is looked at for what is left.
    rig.clients.push({
        close: async () => {
            child.kill();
            assert.deepEqual(await within(exited, 'the chat server to end'), [0, null]);
        },
    });
    const [line] = await within(once(child.stdout.setEncoding('utf8'), 'data'), 'the address');
    return { rig, address: line.trim() };
}

const messages = (page) => page.evaluate('[...document.querySelectorAll("#messages > p")].map((p) => p.textContent)');
const says = (page, text) => page.until(`document.querySelector('#messages').textContent.includes(${JSON.stringify(text)})`);
const state = (page, text) => page.until(`document.querySelector('#state').textContent === ${JSON.stringify(text)}`,
    `the page says "${text}"`);
const idle = (page) => page.until('!document.forms[0].elements.send.disabled', 'the answer is complete');

async function ask(page, text) {
    await page.type('[name=question]', text);
    await page.click('[name=send]');
}

test('a chat that streams, goes on after a reload, and remembers', { skip }, async (t) => {
    const { rig, address } = await startChat(t);
    rig.model.on('my name is Ada', hold('Hello', ' Ada')).on('who am I', say('You are Ada.'));
    const page = await (await Browser.start(t)).open(address);
    await ask(page, 'my name is Ada');
    await says(page, 'Hello');
    const asked = await rig.model.request('my name is Ada');
    assert.equal(asked.state, 'open', 'the rest has not been said');
    await page.screenshot(`${SHOTS}streams.png`);
    asked.release();
    await says(page, 'Hello Ada');
    await idle(page);
    await page.reload();
    assert.deepEqual(await messages(page), ['my name is Ada', 'Hello Ada']);
    await ask(page, 'who am I');
    await says(page, 'You are Ada.');
    await idle(page);
    assert.deepEqual(told(rig.model.requests.at(-1)).filter((line) => line.startsWith('assistant')), ['assistant: Hello Ada']);
    await page.screenshot(`${SHOTS}remembers.png`);
});

test('the stop button ends the answer at the model, and the chat goes on', { skip }, async (t) => {
    const { rig, address } = await startChat(t);
    rig.model.on('long', hang('So it begins')).on('shorter', say('Short.'));
    const page = await (await Browser.start(t)).open(address);
    await ask(page, 'a long one');
    await says(page, 'So it begins');
    const asked = await rig.model.request('long');
    await page.click('[name=stop]');
    await asked.cut();
    await state(page, 'stopped');
    await rig.untilClean();
    await ask(page, 'shorter');
    await says(page, 'Short.');
    await idle(page);
    assert.deepEqual(await messages(page), ['a long one', 'So it begins', 'shorter', 'Short.']);
});

test('two tabs on a pool of one: the other waits, sees its place, and may stop', { skip }, async (t) => {
    const { rig, address } = await startChat(t);
    rig.model.on('first', hold('One', ' and done')).on('second', say('Two.')).on('third', say('Three.'));
    const browser = await Browser.start(t);
    const one = await browser.open(address);
    const two = await browser.open(address);
    await ask(one, 'first');
    await says(one, 'One');
    const asked = await rig.model.request('first');
    const others = [];
    for (const name of ['a', 'b']) {
        const client = await rig.connect(name);
        const answer = client.request('pool/acquire');
        await client.next('pool/queued');
        others.push({ client, answer });
    }
    await ask(two, 'second');
    await state(two, '2 before you');
    await two.screenshot(`${SHOTS}waits.png`);
    await others[0].client.close();
    await state(two, '1 before you');
    await two.click('[name=stop]');
    await state(two, 'stopped');
    await rig.daemon.untilStatus(({ queue }) => queue.length === 1, 'it has left the queue');
    await ask(two, 'third');
    await state(two, '1 before you');
    asked.release();
    await says(one, 'One and done');
    await idle(one);
    await others[1].answer;
    await state(two, 'you are next');
    await others[1].client.close();
    await says(two, 'Three.');
    await idle(two);
    assert.equal(rig.model.asked('second').length, 0, 'the model never heard of what was stopped');
    assert.deepEqual(await messages(one), ['first', 'One and done']);
});

test('a tab that is closed ends its answer at the model', { skip }, async (t) => {
    const { rig, address } = await startChat(t);
    rig.model.on('long', hang('So'));
    const page = await (await Browser.start(t)).open(address);
    await ask(page, 'a long one');
    await says(page, 'So');
    const asked = await rig.model.request('long');
    await page.close();
    await asked.cut();
    await rig.untilClean();
});
