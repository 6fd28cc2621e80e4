// One `codex-pool run --json`, and what its lines tell.
import { spawn } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { createInterface } from 'node:readline';

/** Emits 'state' and 'text'. States: starts, waits, runs, done, killed, failed. */
export class Run extends EventEmitter {
    constructor(name, prompt, thread = null) {
        super();
        Object.assign(this, { name, prompt, threadId: thread, resumes: thread !== null });
        Object.assign(this, { state: 'starts', worker: null, text: '', waitedMs: 0, ranMs: 0, stderr: '' });
    }

    /** `stage` says where: { program, socket, cwd, env }. */
    start(stage) {
        const thread = this.resumes ? ['--thread', this.threadId] : [];
        const args = [
            '--socket',
            stage.socket,
            'run',
            '--json',
            '--approve',
            'never',
            ...thread,
            '--',
            this.prompt,
        ];
        this.startedAt = performance.now();
        this.child = spawn(stage.program, args, {
            cwd: stage.cwd,
            env: stage.env,
            stdio: ['ignore', 'pipe', 'pipe'],
        });
        this.child.stderr.on('data', (text) => (this.stderr += text));
        createInterface({ input: this.child.stdout }).on('line', (line) => this.read(JSON.parse(line)));
        this.ended = new Promise((resolve) => {
            this.child.once('error', (error) => this.close(resolve, error.message));
            this.child.once('close', (code, signal) => this.close(resolve, signal ?? code));
        });
        return this;
    }

    set(state, fields = {}) {
        Object.assign(this, { state, ...fields });
        this.emit('state', this);
    }

    read({ method, params }) {
        switch (method) {
            case 'pool/queued':
                this.firstPlace ??= params.position;
                return this.set('waits', { place: params.position });
            case 'pool/assigned':
                this.waitedMs += params.waitedMs;
                this.assignedAt ??= performance.now();
                return this.set('runs', { worker: params.worker });
            case 'turn/started':
                this.threadId = params.threadId;
                return undefined;
            case 'item/agentMessage/delta':
                this.text += params.delta;
                return this.emit('text', this);
            default:
                return undefined;
        }
    }

    close(resolve, exit) {
        this.exit = exit;
        this.ranMs = this.assignedAt ? performance.now() - this.assignedAt : 0;
        this.set(exit === 0 ? 'done' : exit === 'SIGKILL' ? 'killed' : 'failed');
        resolve(this);
    }

    /** Its client dies as if somebody had pulled the plug. */
    kill() {
        this.child?.kill('SIGKILL');
    }
}
