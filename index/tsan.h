/*
 * index/tsan.h - whether ThreadSanitizer watches: gcc and clang say it in different words.
 */
#ifndef CAIRN_INDEX_TSAN_H
#define CAIRN_INDEX_TSAN_H

#if defined(__SANITIZE_THREAD__)
#define CAIRN_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CAIRN_TSAN 1
#endif
#endif

#endif
