/*
 * server/pages.h - pages for people: what this is, and how it is at a glance.
 *
 * Threads: workers.
 */
#ifndef CAIRN_SERVER_PAGES_H
#define CAIRN_SERVER_PAGES_H

#include "server/http.h"

/** The front page: HTML for who accepts it, that is a browser, and else plain text. */
void cairn_pages_reply_front(h2o_req_t *req);

/**
 * The dashboard. It is the same for everyone and says nothing of what is stored: what it shows it
 * asks of /v1/stats, with the token that is typed into it.
 */
void cairn_pages_reply_dashboard(h2o_req_t *req);

#endif
