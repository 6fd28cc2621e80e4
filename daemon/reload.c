#include "daemon/reload.h"

#include "daemon/crew.h"
#include "daemon/listener.h"
#include "daemon/renew.h"

#include <signal.h>
#include <time.h>

static void retire_all(struct server *s, const char *why)
{
    for (size_t i = 0; i < s->n_workers; i++)
        renew_retire(s->workers[i], why);
}

/* What follows from the new settings; `before` is freed. */
static void apply(struct server *s, struct config *before)
{
    struct config *config = s->config;
    if (strcmp(config->socket, before->socket) != 0)
        log_warn(&s->log, "socket: a change needs a restart");
    log_set(&s->log, config->log_level, config->log_format);
    if (s->n_clients < (size_t)config->max_clients)
        listener_resume(s);
    if (crew_resize(s) < 0)
        log_error(&s->log, "out of memory for workers");
    if (config_same_codex(before, config))
        renew_look(s);
    else
        retire_all(s, "the configuration of codex has changed");
    config_free(before);
    /* Who had all that a limit allowed may be allowed more, and a worker that was to go may stay.
     */
    s->offer = true;
    crew_start_workers(s);
}

bool reload_settings(struct server *s, char **error)
{
    struct timespec now;
    struct config *before = s->config;
    *error = NULL;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    notify_send(&s->notify, "RELOADING=1\nMONOTONIC_USEC=%lld",
                (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    struct config *config = config_load(&s->flags, error);
    if (config) {
        s->config = config;
        apply(s, before);
        log_info(&s->log, "configuration reloaded");
    } else {
        log_error(&s->log, "configuration not reloaded, nothing is changed: %s",
                  *error ? *error : "out of memory");
    }
    notify_send(&s->notify, "READY=1");
    return config != NULL;
}

static void on_hup(struct ev_loop *loop, ev_signal *w, int revents)
{
    struct server *s = ev_userdata(loop);
    _cleanup_free_ char *error = NULL;
    (void)w;
    (void)revents;
    if (s->phase == SERVER_RUNNING && !reload_settings(s, &error))
        return; /* what is wrong is in the log */
}

void reload_init(struct server *s)
{
    ev_signal_init(&s->on_hup, on_hup, SIGHUP);
}
