// A pool without owners, computed: any worker serves any conversation, first come first served.

/**
 * What each turn would have waited. `turns` are { arrived, conversation, service } in order of arrival, all in
 * milliseconds. A turn of a conversation is asked for when it arrives or, later, when the one before it is over; its wait
 * begins then, as it does with the real pool.
 */
export function idealWaits(turns, workers) {
    const waits = new Array(turns.length);
    const behind = new Map(); // conversation -> turns that follow the one that runs or waits
    const running = []; // { turn, end }
    const queue = []; // { turn, asked }
    let next = 0;

    const serve = (now) => {
        while (queue.length && running.length < workers) {
            const { turn, asked } = queue.shift();
            waits[turn] = now - asked;
            running.push({ turn, end: now + turns[turn].service });
        }
    };
    const finish = () => {
        running.sort((a, b) => a.end - b.end);
        const { turn, end } = running.shift();
        const { conversation } = turns[turn];
        const follower = behind.get(conversation).shift();
        if (follower === undefined) behind.delete(conversation);
        else queue.push({ turn: follower, asked: end });
        return end;
    };
    const arrive = () => {
        const { arrived, conversation } = turns[next];
        if (behind.has(conversation)) behind.get(conversation).push(next);
        else {
            behind.set(conversation, []);
            queue.push({ turn: next, asked: arrived });
        }
        next++;
        return arrived;
    };
    while (next < turns.length || running.length) {
        const end = Math.min(...running.map((each) => each.end));
        serve(next < turns.length && turns[next].arrived < end ? arrive() : finish());
    }
    return waits;
}
