/* SPDX-License-Identifier: MIT */
#include "limit/redis_link.h"

#include "base/mem.h"

#include <event2/event.h>
#include <fcntl.h>

/* The same arithmetic as gcra.c, in microseconds and doubles: exact up to 2^53 limit-ths of one, and off by parts of 2^-52
 * beyond. */
const char dv__redis_script[] =
    "local limit, window, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])\n"
    "local t = redis.call('TIME')\n"
    "local now = t[1] * 1000000 + t[2]\n"
    "local tat, part, last = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) (%d+) (%d+)$')\n"
    "tat, part, last = tonumber(tat or 0), tonumber(part or 0), tonumber(last or 0)\n"
    "if now < last then tat = tat - (last - now) end\n" /* the clock was set back: what is owed stays what it was */
    "local debt = 0\n"
    "if tat >= now then debt = (tat - now) * limit + math.min(part, limit - 1) end\n"
    "local room, want = window * burst, window * cost\n"
    "local need = debt + math.min(want, room)\n"
    "local allowed, retry = 1, 0\n"
    "if need > room then allowed, retry = 0, math.ceil((need - room) / limit) end\n"
    "if (allowed == 1 or ARGV[5] == '1') and cost > 0 then\n"
    "  debt = math.min(debt + want, 1e15 * limit)\n"
    "  local us = math.floor(debt / limit)\n"
    "  local value = string.format('%.0f %.0f %.0f', now + us, math.fmod(debt, limit), now)\n"
    "  redis.call('SET', KEYS[1], value, 'PX', string.format('%.0f', math.ceil(us / 1000) + 1))\n"
    "end\n"
    "local remaining = math.max(0, math.floor((room - debt) / window))\n"
    "return {allowed, remaining, math.ceil(debt / limit), math.min(retry, 1e15)}\n";

typedef struct link {
    redisAsyncContext *ac;
    struct event *in, *out;
} link;

static void on_in(evutil_socket_t fd, short what, void *arg) { redisAsyncHandleRead(((link *)arg)->ac); }
static void on_out(evutil_socket_t fd, short what, void *arg) { redisAsyncHandleWrite(((link *)arg)->ac); }

/* A socket that cannot be watched for want of memory is one that does not answer in time. */
static void add_in(void *arg) { (void)event_add(((link *)arg)->in, NULL); }
static void del_in(void *arg) { event_del(((link *)arg)->in); }
static void add_out(void *arg) { (void)event_add(((link *)arg)->out, NULL); }
static void del_out(void *arg) { event_del(((link *)arg)->out); }

static void cleanup(void *arg)
{
    link *l = arg;
    if (l->in != NULL)
        event_free(l->in);
    if (l->out != NULL)
        event_free(l->out);
    dv_free(l);
}

bool dv__redis_link(redisAsyncContext *ac, struct event_base *base)
{
    link *l = dv_calloc(DV_MEM_LIMIT, 1, sizeof *l);
    if (l == NULL)
        return false;
    fcntl(ac->c.fd, F_SETFD, FD_CLOEXEC); /* hiredis does not */
    l->ac = ac;
    l->in = event_new(base, ac->c.fd, EV_READ | EV_PERSIST, on_in, l);
    l->out = event_new(base, ac->c.fd, EV_WRITE | EV_PERSIST, on_out, l);
    if (l->in == NULL || l->out == NULL) {
        cleanup(l);
        return false;
    }
    ac->ev.data = l;
    ac->ev.addRead = add_in;
    ac->ev.delRead = del_in;
    ac->ev.addWrite = add_out;
    ac->ev.delWrite = del_out;
    ac->ev.cleanup = cleanup;
    return true;
}
