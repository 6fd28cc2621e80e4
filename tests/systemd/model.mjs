// node model.mjs: a local model, and a Codex home that leads to it, until it is ended. What it answers depends on the
// prompt. Prints the home and the folder to work in when it is ready; SIGUSR1 lets a held answer go on.
import { makeCodexHome } from '../lib/codex-home.mjs';
import { hold, say, shell, startModelServer, steps } from '../lib/model-server.mjs';

/** The turn's answer is what its command printed, so that a test sees how Codex let it run. */
const echo = (answer, request) => answer.text([request.outputs.at(-1)]);
const write = 'echo inside >inside.txt; echo outside >"$OUTSIDE" || echo refused; grep ^Cap /proc/self/status';

const model = await startModelServer();
model.on('say hello', say('hello from the model'));
model.on('write files', steps(shell(write), echo));
model.on('hold on', hold('held', ' and let go'));
process.on('SIGUSR1', () => model.asked('hold on').forEach((request) => request.release()));

// Everything here is below the folder for temporary files, which a sandbox would let the command write to.
const settings = ['[sandbox_workspace_write]', 'exclude_slash_tmp = true', 'exclude_tmpdir_env_var = true'];
const home = makeCodexHome({ model: model.url, sandbox: 'workspace-write', settings });
console.log(`${home.codexHome} ${home.cwd}`);
