// An MCP server with one tool, over stdio: as little as Codex needs to call it one.
import readline from 'node:readline';

const answers = {
    initialize: ({ protocolVersion }) => ({
        protocolVersion,
        capabilities: { tools: {} },
        serverInfo: { name: 'counter', version: '1' },
    }),
    'tools/list': () => ({ tools: [{ name: 'count', description: 'counts', inputSchema: { type: 'object' } }] }),
};

for await (const line of readline.createInterface({ input: process.stdin })) {
    const { id, method, params } = JSON.parse(line);
    if (id === undefined) continue;
    const result = answers[method]?.(params) ?? {};
    process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', id, result })}\n`);
}
