// What a process uses of the machine.
import { readFileSync } from 'node:fs';

/** Seconds of processor time that a process has used. */
export function cpuSeconds(pid) {
    const [user, system] = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ').slice(11, 13);
    return (Number(user) + Number(system)) / 100;
}
