// Clients that leave by pool/detach and come back by pool/attach on another connection: to everything else here they are
// the same client, to whom nothing may be lost, and nothing said twice.

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** What is said meanwhile is said afterwards. Few do not come back at all: then the daemon ends what they had. */
export async function park(client, rng) {
    const { report } = client.world;
    const returns = rng.chance(0.85);
    const [ttlMs, ms] = [returns ? 60000 : rng.between(300, 1500), rng.below(1500)];
    if (client.left || !client.reading || client.held) return;
    client.away = (async () => {
        if (!await client.detach({ ttlMs })) return;
        report.count('clients that left by pool/detach');
        if (!returns) {
            client.forsake();
            return;
        }
        await sleep(ms);
        if (await client.attach()) report.count('clients that came back by pool/attach');
    })();
    await client.away;
}
