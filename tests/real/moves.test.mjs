// Threads that move to another worker between their turns: neither the model nor the client can tell.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { fail, hang, say, shell, steps, tool } from '../lib/model-server.mjs';
import { Stage, Talk, assertTwins, differences } from './twin.mjs';

const KNOWN = 'gpt-5.5';
const LOOKUP = {
    type: 'function',
    name: 'lookup',
    description: 'looks up',
    inputSchema: { type: 'object', properties: { q: { type: 'string' } } },
};
const NOTE = { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'a note' }] };
const SCHEMA = { type: 'object', properties: { a: { type: 'string' } }, required: ['a'], additionalProperties: false };
const GRANULAR = {
    granular: {
        sandbox_approval: true,
        rules: false,
        skill_approval: true,
        request_permissions: true,
        mcp_elicitations: false,
    },
};
const PLAN = { mode: 'plan', settings: { model: 'local', reasoning_effort: 'medium', developer_instructions: null } };
const READ_ONLY = { type: 'readOnly', networkAccess: false };
const FULL = { type: 'dangerFullAccess' };
const EXTERNAL = { type: 'externalSandbox', networkAccess: 'restricted' };
const SPEAK = { developerInstructions: 'speak in rhymes' };
const PLAY = { baseInstructions: 'you are a parrot' };

const writable = (more = {}) => ({
    type: 'workspaceWrite',
    writableRoots: [],
    networkAccess: false,
    excludeTmpdirEnvVar: false,
    excludeSlashTmp: false,
    ...more,
});

const compact = (talk) => talk.untilDone('thread/compact/start', {});

/** Overrides that each can be given with `turn/start` and, most of them, with `thread/settings/update`. */
const OVERRIDES = ({ cwd, extra }) => ({
    model: { model: KNOWN },
    effort: { effort: 'high' },
    'model and effort': { model: KNOWN, effort: 'low' },
    summary: { model: KNOWN, summary: 'detailed' },
    cwd: { cwd: extra },
    'approval policy': { approvalPolicy: 'on-request' },
    reviewer: { approvalPolicy: 'on-request', approvalsReviewer: 'auto_review' },
    'read-only': { sandboxPolicy: READ_ONLY },
    'workspace-write': { sandboxPolicy: writable() },
    'workspace-write with roots and network': {
        sandboxPolicy: writable({ writableRoots: [extra], networkAccess: true, excludeSlashTmp: true }),
    },
    'external sandbox': { sandboxPolicy: EXTERNAL },
    'service tier': { model: KNOWN, serviceTier: 'priority' },
    permissions: { permissions: ':read-only' },
    'plan mode': { collaborationMode: PLAN },
    'no environment': { environments: [] },
    'an environment elsewhere': { environments: [{ environmentId: 'local', cwd: extra }] },
    everything: {
        model: KNOWN,
        effort: 'low',
        summary: 'concise',
        approvalPolicy: GRANULAR,
        sandboxPolicy: writable({ writableRoots: [extra, cwd] }),
        serviceTier: 'priority',
        environments: [{ environmentId: 'local', cwd: extra }],
    },
});

/**
 * What threads can be like: `start` (parameters of `thread/start`), `story` (what happens before the move, by default
 * one turn), `probe` (parameters of the turn that moves it).
 */
function startCases({ extra, cwd }) {
    return {
        'nothing special': {},
        'a model and an effort': { start: { model: KNOWN, config: { model_reasoning_effort: 'high' } } },
        'a cwd': { start: { cwd: extra } },
        'more workspace roots': { start: { runtimeWorkspaceRoots: [extra] } },
        'an approval policy': { start: { approvalPolicy: 'on-request' } },
        'a granular approval policy': { start: { approvalPolicy: GRANULAR } },
        'read-only': { start: { sandbox: 'read-only', approvalPolicy: 'on-request' } },
        'workspace-write': { start: { sandbox: 'workspace-write', approvalPolicy: 'on-request' } },
        'workspace-write with extra roots and network': {
            start: {
                sandbox: 'workspace-write',
                config: { sandbox_workspace_write: { writable_roots: [extra], network_access: true } },
            },
        },
        'workspace-write with its own cwd among the roots': {
            start: {
                sandbox: 'workspace-write',
                config: { sandbox_workspace_write: { writable_roots: [extra, cwd] } },
            },
        },
        'workspace-write by keys with dots': {
            start: { sandbox: 'workspace-write', config: { 'sandbox_workspace_write.writable_roots': [extra] } },
        },
        'workspace-write by configuration': { start: { config: { sandbox_mode: 'workspace-write' } } },
        'danger-full-access': { start: { sandbox: 'danger-full-access', approvalPolicy: 'on-request' } },
        'permissions profile': { start: { permissions: ':workspace' } },
        'full permissions': { start: { permissions: ':danger-full-access' } },
        'base instructions': { start: PLAY },
        'developer instructions': { start: SPEAK },
        'instructions, compacted': { start: { ...PLAY, ...SPEAK }, story: (talk) => talk.turn().then(() => compact(talk)) },
        'dynamic tools': { start: { dynamicTools: [LOOKUP] }, text: 'look it up' },
        'no environment': { start: { environments: [] } },
        'an environment elsewhere': { start: { environments: [{ environmentId: 'local', cwd: extra }] } },
        'no web search': { start: { config: { web_search: 'disabled' } } },
        'low verbosity': { start: { model: KNOWN, config: { model_verbosity: 'low' } } },
        'a feature off': { start: { config: { features: { goals: false } } } },
        'a feature off, by a key with dots': { start: { config: { 'features.multi_agent': false } } },
        'no project instructions': { start: { config: { project_doc_max_bytes: 0 } } },
        'developer instructions by configuration': { start: { config: { developer_instructions: 'in prose' } } },
        'an old history': { start: { historyMode: 'legacy' } },
        'a service tier': { start: { model: KNOWN, serviceTier: 'priority' } },
        'everything at once': {
            start: {
                ...PLAY,
                ...SPEAK,
                model: KNOWN,
                cwd: extra,
                sandbox: 'workspace-write',
                approvalPolicy: GRANULAR,
                dynamicTools: [LOOKUP],
                environments: [{ environmentId: 'local', cwd: extra }],
                config: { web_search: 'disabled', model_verbosity: 'high', model_reasoning_effort: 'high' },
            },
        },
    };
}

function storyCases({ extra, cwd }) {
    const workspace = { sandbox: 'workspace-write', ...SPEAK, config: { web_search: 'disabled' } };
    const forked = (params, ...turns) => ({
        start: workspace,
        async story(talk) {
            await talk.turn();
            await talk.fork(params);
            for (const text of turns) await talk.turn(text);
        },
    });
    /** After a turn a request, and what Codex says to that. */
    const then = (method, params, news) => ({
        start: workspace,
        async story(talk) {
            await talk.turn();
            await talk.request(method, params);
            if (news) await talk.next(news);
        },
    });
    return {
        'compacted after instructions': {
            start: { ...PLAY, ...SPEAK },
            between: compact,
        },
        'an output schema of one turn': { story: (talk) => talk.turn('hello', { outputSchema: SCHEMA }) },
        'an output schema of the next turn': { probe: { outputSchema: SCHEMA } },
        'a sandbox of the next turn on': { start: workspace, probe: { sandboxPolicy: READ_ONLY } },
        'full access after read-only': {
            start: { sandbox: 'read-only' },
            story: (talk) => talk.turn('hello', { sandboxPolicy: FULL }),
        },
        'one by turn, one by update': {
            start: { sandbox: 'read-only', model: KNOWN },
            async story(talk) {
                await talk.turn('hello', { effort: 'low', cwd: extra });
                await talk.update({ sandboxPolicy: writable({ writableRoots: [cwd] }), approvalPolicy: 'on-request' });
                await talk.turn('again', { environments: [] });
            },
        },
        'a setting taken back': {
            start: workspace,
            async story(talk) {
                await talk.turn('hello', { effort: 'high', sandboxPolicy: FULL, environments: [] });
                await talk.update({ sandboxPolicy: writable(), effort: 'low' });
                await talk.update({ environments: [{ environmentId: 'local', cwd }] });
            },
        },
        'items injected': then('thread/inject_items', { items: [NOTE] }),
        'a name': then('thread/name/set', { name: 'Ada' }, 'thread/name/updated'),
        metadata: then('thread/metadata/update', { gitInfo: { branch: 'b', sha: 'abc', originUrl: null } }),
        'a shell command': {
            start: workspace,
            story: (talk) => talk.turn().then(() => talk.untilDone('thread/shellCommand', { command: 'echo hi' })),
        },
        'a review': {
            start: workspace,
            story: (talk) =>
                talk.turn().then(() =>
                    talk.untilDone('review/start', {
                        target: { type: 'custom', instructions: 'look' },
                        delivery: 'inline',
                    }),
                ),
        },
        'a tool called': {
            start: { dynamicTools: [LOOKUP] },
            story: (talk) => talk.turn('look it up'),
        },
        'a turn interrupted': { start: workspace, story: (talk) => talk.turn().then(() => talk.interrupted('hangs')) },
        'only turn interrupted': { start: workspace, story: (talk) => talk.interrupted('hangs') },
        'only turn failed': { start: workspace, story: (talk) => talk.turn('fails') },
        'a paused goal': then('thread/goal/set', { objective: 'rest', status: 'paused' }, 'thread/goal/updated'),
        'a fork': forked({}),
        'a fork with a turn of its own': forked({}, 'on my own'),
        'a fork with settings': forked({ ...workspace, developerInstructions: 'other', approvalPolicy: 'on-request' }),
        'a fork with settings and a turn': forked({ ...workspace, config: { web_search: 'live' } }, 'on my own'),
        'the source of a fork': {
            start: workspace,
            async story(talk) {
                const { id } = talk;
                await talk.turn();
                await talk.fork();
                talk.id = id;
            },
        },
    };
}

/** All cases of a group by name. */
function groups(places) {
    const by = (way) =>
        Object.fromEntries(
            Object.entries(OVERRIDES(places)).map(([name, params]) => [
                `${name} by ${way === 'turn' ? 'turn/start' : 'thread/settings/update'}`,
                {
                    story: (talk) =>
                        way === 'turn' ? talk.turn('hello', params) : talk.turn().then(() => talk.update(params)),
                },
            ]),
        );
    return [startCases(places), by('turn'), by('update'), storyCases(places)];
}

/** Twins of every case: one client's stay on their worker, the other's move to that one and back. */
class Twins {
    static async start(t) {
        const twins = new Twins();
        twins.stage = await Stage.start(t);
        const { model, home } = twins.stage.rig;
        twins.places = { cwd: home.cwd, extra: home.folder('extra') };
        fs.writeFileSync(path.join(home.cwd, 'AGENTS.md'), 'the rules of the house');
        model.on('hangs', hang()).on('fails', fail());
        model.on('look it up', steps(tool('lookup', { q: 'x' }), say('found')));
        twins.moving = await twins.connect('moves');
        twins.staying = await twins.connect('stays');
        return twins;
    }

    async connect(name) {
        const client = await this.stage.connectHolding(name);
        client.onRequest('item/tool/call', () => ({
            contentItems: [{ type: 'inputText', text: '42' }],
            success: true,
        }));
        return client;
    }

    /** Tells a twin's story; what goes wrong is kept for the case's own test. */
    async step(twin, act) {
        if (twin.error || this.late) {
            twin.error ??= new Error(`not tried after: ${this.late.message}`);
            return;
        }
        try {
            await act(twin.talk);
        } catch (error) {
            twin.error = error;
            if (!/^timed out/.test(error.message)) return;
            const { waiters } = await this.stage.rig.daemon.status();
            error.message += `; waiters: ${JSON.stringify(waiters)}`;
            this.late = error;
        }
    }

    /** A new twin of each case on the client's worker. */
    async tell(client, cases, after = async () => {}) {
        const twins = {};
        for (const [name, each] of Object.entries(cases)) {
            const twin = (twins[name] = { talk: new Talk(this.stage.rig, client), probes: [] });
            await this.step(twin, async (talk) => {
                await talk.open(each.start);
                await (each.story ?? ((one) => one.turn()))(talk);
                await after(twin, each);
            });
        }
        return twins;
    }

    async run(cases) {
        const { stage, moving, staying } = this;
        const [moved, stayed] = await Promise.all([
            this.tell(moving, cases),
            this.tell(staying, cases, async (twin, each) => {
                await first(twin, each);
                await each.between?.(twin.talk);
                await second(twin);
                twin.state = await twin.talk.state();
            }),
        ]);
        await Promise.all([moving, staying].map((client) => client.request('pool/release', {})));
        await this.moveAll(moving.worker, cases, moved, async (twin, each) => {
            await first(twin, each);
            await each.between?.(twin.talk);
        });
        await this.moveAll(staying.worker, cases, moved, async (twin) => {
            await second(twin);
            twin.state = await twin.talk.holding(() => twin.talk.state());
        });
        return { moved, stayed };
    }

    /** While somebody else has their worker, each thread in turn. */
    async moveAll(from, cases, twins, act) {
        const occupied = await this.stage.occupy(from);
        for (const [name, each] of Object.entries(cases)) {
            await this.step(twins[name], () => act(twins[name], each));
        }
        await occupied.end();
    }
}

async function first(twin, { text = 'and now', probe, open }) {
    twin.probes.push(await twin.talk.probe(text, probe, open));
}

async function second(twin) {
    twin.probes.push(await twin.talk.probe('and then'));
}

function assertMoved({ worker, moves }, from, to) {
    assert.deepEqual(moves.map((move) => [move.from, move.to]), [[from, to]]);
    assert.ok(moves[0].ms >= 0);
    assert.equal(worker, to);
}

test('neither the model nor the client can tell that a thread has moved', async (t) => {
    const twins = await Twins.start(t);
    const only = new RegExp(process.env.CASES ?? '');
    const all = Object.assign({}, ...groups(twins.places));
    const cases = Object.fromEntries(Object.entries(all).filter(([name]) => only.test(name)));
    const { moved, stayed } = await twins.run(cases);
    const [from, to] = [twins.moving.worker, twins.staying.worker];
    for (const name of Object.keys(cases)) {
        await t.test(name, () => {
            const [there, back] = moved[name].probes;
            if (stayed[name].error || moved[name].error) throw stayed[name].error ?? moved[name].error;
            assertMoved(there, from, to);
            assertTwins(stayed[name].probes[0], there);
            assertMoved(back, to, from);
            assertTwins(stayed[name].probes[1], back);
            assert.deepEqual(differences(stayed[name].state, moved[name].state), [], 'history and settings');
        });
    }
    await t.test('every move is counted', async () => {
        assert.equal(await twins.stage.moves(), 2 * Object.keys(cases).length);
    });
});
