// A headless Chromium, driven by its DevTools protocol over two pipes, which needs nothing but Node.js.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until, within } from './wait.mjs';

const FIND = fileURLToPath(new URL('has-browser.sh', import.meta.url));

/** The browser's program; '' where there is none. */
export function browserProgram() {
    return spawnSync('sh', [FIND], { encoding: 'utf8' }).stdout.trim();
}

const FLAGS = [
    '--headless', '--remote-debugging-pipe', '--no-first-run', '--no-default-browser-check', '--no-sandbox',
    '--disable-gpu', '--disable-dev-shm-usage', '--disable-extensions', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--disable-breakpad', '--window-size=900,700',
];

export class Browser {
    /** Ended, with all of its processes and files, with the test. */
    static async start(t) {
        const dir = mkdtempSync(join(tmpdir(), 'codex-pool-browser-'));
        const browser = new Browser(dir);
        t.after(() => browser.close());
        await browser.call('Browser.getVersion');
        return browser;
    }

    constructor(dir) {
        this.dir = dir;
        this.lastId = 0;
        this.pending = new Map();
        const env = { ...process.env, HOME: dir, XDG_CONFIG_HOME: dir, XDG_CACHE_HOME: dir, XDG_RUNTIME_DIR: dir };
        this.child = spawn(browserProgram(), [...FLAGS, `--user-data-dir=${join(dir, 'profile')}`, 'about:blank'], {
            env, stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'], detached: true,
        });
        this.exited = new Promise((resolve) => this.child.once('exit', resolve));
        this.child.stdio[3].on('error', () => {});
        let rest = '';
        this.child.stdio[4].setEncoding('utf8').on('data', (text) => {
            const messages = (rest + text).split('\0');
            rest = messages.pop();
            messages.forEach((message) => this.#came(JSON.parse(message)));
        });
    }

    #came({ id, result, error }) {
        const waiting = this.pending.get(id);
        this.pending.delete(id);
        if (error) waiting?.reject(new Error(error.message));
        else waiting?.resolve(result);
    }

    call(method, params = {}, sessionId = undefined) {
        const id = ++this.lastId;
        const answer = new Promise((resolve, reject) => this.pending.set(id, { resolve, reject }));
        this.child.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
        return within(answer, `the browser to answer ${method}`);
    }

    /** A tab. */
    async open(url) {
        const { targetId } = await this.call('Target.createTarget', { url: 'about:blank' });
        const { sessionId } = await this.call('Target.attachToTarget', { targetId, flatten: true });
        const page = new Page(this, targetId, sessionId);
        await page.go(url);
        return page;
    }

    async close() {
        await this.call('Browser.close').catch(() => {});
        await within(this.exited, 'the browser to end').catch(() => {});
        try {
            process.kill(-this.child.pid, 'SIGKILL');
        } catch { /* all of it has ended */ }
        rmSync(this.dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
    }
}

class Page {
    constructor(browser, targetId, sessionId) {
        Object.assign(this, { browser, targetId, sessionId });
    }

    call(method, params) { return this.browser.call(method, params, this.sessionId); }

    /** The page says itself when it is ready. */
    async go(url) {
        await this.call('Page.navigate', { url });
        await this.until('document.body?.dataset.ready', `${url} is ready`);
    }

    async reload() {
        await this.evaluate('delete document.body.dataset.ready');
        await this.call('Page.reload');
        await this.until('document.body?.dataset.ready', 'the page is ready again');
    }

    async evaluate(expression) {
        const { result, exceptionDetails } = await this.call('Runtime.evaluate', { expression, returnByValue: true });
        if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
        return result.value;
    }

    until(expression, what = expression) {
        // Between two documents there may be none to ask.
        return until(() => this.evaluate(expression).catch(() => false), what);
    }

    /** As a person does: a click into the middle, then keys. */
    async click(selector) {
        const at = await this.evaluate(`(() => {
            const box = document.querySelector(${JSON.stringify(selector)}).getBoundingClientRect();
            return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
        })()`);
        for (const type of ['mousePressed', 'mouseReleased']) {
            await this.call('Input.dispatchMouseEvent', { type, ...at, button: 'left', clickCount: 1 });
        }
    }

    async type(selector, text) {
        await this.call('Target.activateTarget', { targetId: this.targetId }).catch(() => {});
        await this.click(selector);
        await this.call('Input.insertText', { text });
    }

    async screenshot(file) {
        const { data } = await this.call('Page.captureScreenshot', { format: 'png' });
        mkdirSync(dirname(file), { recursive: true });
        writeFileSync(file, Buffer.from(data, 'base64'));
    }

    async close() { await this.browser.call('Target.closeTarget', { targetId: this.targetId }); }
}
