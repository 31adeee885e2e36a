/* SPDX-License-Identifier: MIT */
#include "limit/gcra.h"

#include "base/attr.h"

/* Time times units: up to 2^59 ns (18 years) by 2^53. */
__extension__ typedef unsigned __int128 wide;

#define LIMIT_MAX (UINT64_C(1) << 53)
#define WINDOW_MAX_MS (UINT64_C(10) * 366 * 24 * 3600 * 1000)
#define DEBT_MAX_NS (UINT64_C(1) << 62)
#define NS_PER_MS UINT64_C(1000000)

dv_rate_rule dv__gcra_rule(const dv_rate_rule *rule)
{
    dv_rate_rule r = {.limit = DV_MIN(rule->limit, LIMIT_MAX),
                      .window_ms = DV_MIN(DV_MAX(rule->window_ms, UINT64_C(1)), WINDOW_MAX_MS),
                      .burst = DV_MIN(rule->burst, LIMIT_MAX)};
    if (r.burst == 0)
        r.burst = r.limit;
    return r;
}

/* What is owed, in limit-ths of a nanosecond; one unit of the rule is a window's nanoseconds of these. */
static wide debt_of(const dv__gcra *g, uint64_t limit, uint64_t now_ns)
{
    if (g->tat_ns < now_ns)
        return 0;
    uint64_t ns = DV_MIN(g->tat_ns - now_ns, DEBT_MAX_NS);
    return (wide)ns * limit + DV_MIN(g->part, limit - 1); /* the rule may have been another one */
}

/* a / b rounded up, in milliseconds rounded up. */
static uint64_t ms_of(wide debt, uint64_t limit)
{
    wide ns = debt / limit + (debt % limit != 0);
    return (uint64_t)(ns / NS_PER_MS) + (ns % NS_PER_MS != 0);
}

void dv__gcra_take(dv__gcra *g, const dv_rate_rule *rule, uint64_t now_ns, uint64_t cost, bool charge,
                   dv_rate_answer *a)
{
    const wide unit = (wide)rule->window_ms * NS_PER_MS, room = unit * rule->burst;
    const wide want = unit * DV_MIN(cost, LIMIT_MAX);
    wide debt = debt_of(g, rule->limit, now_ns), need = debt + DV_MIN(want, room);
    a->allowed = need <= room;
    a->retry_ms = a->allowed ? 0 : ms_of(need - room, rule->limit);
    if ((a->allowed || charge) && cost > 0) {
        debt = DV_MIN(debt + want, (wide)DEBT_MAX_NS * rule->limit);
        g->tat_ns = now_ns + (uint64_t)(debt / rule->limit);
        g->part = (uint64_t)(debt % rule->limit);
    }
    a->remaining = debt < room ? (uint64_t)((room - debt) / unit) : 0;
    a->reset_ms = ms_of(debt, rule->limit);
}
