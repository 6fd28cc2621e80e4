import { streamText } from 'ai';
import { createCodexAppServer } from 'ai-sdk-provider-codex-cli';

const codexPath = process.env.CODEX_POOL ?? '/usr/local/bin/codex-pool';
const env = { CODEX_POOL_SOCKET: process.env.CODEX_POOL_SOCKET ?? '' };
const provider = createCodexAppServer({ defaultSettings: { codexPath, env, logger: false } });
const { textStream } = streamText({ model: provider(process.env.MODEL ?? 'gpt-6-astra'), prompt: 'Two lines of encouragement.' });
for await (const text of textStream) process.stdout.write(text);
await provider.close();
