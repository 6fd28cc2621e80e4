/* What must hold of the daemon's own state whenever nothing moves. */
#ifndef TESTS_FUZZ_INVARIANTS_H
#define TESTS_FUZZ_INVARIANTS_H

#include "daemon/server.h"

void invariants_check(const struct server *s);

#endif
