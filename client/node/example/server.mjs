// A chat server: `node server.mjs`, then open the address that it prints. PORT, CODEX_POOL (the program), MODEL and
// CODEX_POOL_SOCKET are read from the environment.
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { Chat } from './chat.mjs';

const page = new URL('page.html', import.meta.url);
const chats = new Map();
const answers = new Set();

const server = createServer((request, response) => {
    serve(request, response).catch((error) => {
        if (!response.headersSent) response.writeHead(error.status ?? 500);
        response.end(error.status ? error.message : undefined);
        if (!error.status) console.error(error);
    });
});

async function serve(request, response) {
    const [, kind, id] = new URL(request.url, 'http://localhost').pathname.split('/');
    if (request.method === 'GET' && kind === '') {
        response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(await readFile(page));
    } else if (request.method === 'GET' && kind === 'chats' && id) {
        response.writeHead(200, { 'content-type': 'application/json' });
        response.end(JSON.stringify(chats.get(id)?.messages ?? []));
    } else if (request.method === 'POST' && kind === 'chats' && id) {
        if (!chats.has(id)) chats.set(id, new Chat());
        await running(answer(chats.get(id), await textOf(request), response));
    } else {
        response.writeHead(404).end();
    }
}

/** Known until it has ended, so that nothing of it is left at the end. */
async function running(promise) {
    answers.add(promise);
    await promise.finally(() => answers.delete(promise));
}

/** Events as lines of JSON. Whoever closes the connection, by the stop button or by leaving, aborts. */
async function answer(chat, question, response) {
    const abort = new AbortController();
    response.once('close', () => abort.abort());
    response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
    try {
        for await (const event of chat.ask(question, abort.signal)) {
            if (!response.write(`${JSON.stringify(event)}\n`)) await once(response, 'drain', { signal: abort.signal });
        }
    } catch (error) {
        if (!abort.signal.aborted) response.write(`${JSON.stringify({ error: error.message })}\n`);
    }
    response.end();
}

async function textOf(request) {
    let text = '';
    for await (const chunk of request.setEncoding('utf8')) {
        text += chunk;
        if (text.length > 100000) throw Object.assign(new Error('Too long.'), { status: 413 });
    }
    return text;
}

server.listen(Number(process.env.PORT ?? 0), '127.0.0.1');
await once(server, 'listening');
console.log(`http://127.0.0.1:${server.address().port}/`);

for (const signal of ['SIGINT', 'SIGTERM']) {
    process.once(signal, async () => {
        server.close();
        server.closeAllConnections();
        await Promise.allSettled(answers);
        process.exit();
    });
}
