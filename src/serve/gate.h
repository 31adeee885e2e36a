/* SPDX-License-Identifier: MIT */
/* The service's callbacks for its HTTP server. arg is the dv_serve. */
#ifndef DV_SERVE_GATE_H
#define DV_SERVE_GATE_H

#include "serve/exchange.h"

void dv__gate_head(void *arg, dv_http_req *req);
void dv__gate_request(void *arg, dv_http_req *req);
void dv__gate_gone(void *arg, dv_http_req *req);
void dv__gate_writable(void *arg, dv_http_req *req);
void dv__gate_end(void *arg, dv_http_req *req);
void dv__gate_refuse(void *arg, int status, const char *why, dv_buf *body, const char **content_type);
void dv__gate_log(void *arg, int level, const char *text);

#endif
