#include "daemon/policy.h"

enum policy policy_decide(const struct policy_case *p)
{
    bool allowed = p->moves == MOVES_AUTO || (p->moves == MOVES_RESUME && p->resume);
    if (p->owner_free)
        return POLICY_OWNER;
    /* An owner that nobody has is about to be free or to be gone: two threads that changed places
     * for that would meet the same again. */
    if (!allowed || !p->owner_busy || p->stay != STAY_NOT || !p->target)
        return POLICY_WAIT;
    /* Who has waited longer for a worker is not overtaken on it. */
    return p->rival && p->rival < p->seq ? POLICY_WAIT : POLICY_MOVE;
}
