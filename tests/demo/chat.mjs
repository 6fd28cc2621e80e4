import { streamText } from 'ai';
import { createCodexAppServer } from 'ai-sdk-provider-codex-cli';

const provider = createCodexAppServer({
    defaultSettings: { codexPath: process.env.CODEX_POOL ?? '/usr/local/bin/codex-pool', env: { CODEX_POOL_SOCKET: process.env.CODEX_POOL_SOCKET ?? '' } },
});
const { textStream } = streamText({ model: provider(process.env.MODEL ?? 'gpt-6-astra'), prompt: 'Two lines of encouragement.' });
for await (const text of textStream) process.stdout.write(text);
await provider.close();
