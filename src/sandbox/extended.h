/* SPDX-License-Identifier: MIT */
/* Is this a build with AddressSanitizer or ThreadSanitizer? Their runtimes read /proc and the program's file, and the search for leaks at the end
 * starts a process that stops all threads. Such builds are for tests; dv_sandbox_report says so. */
#ifndef DV_SANDBOX_EXTENDED_H
#define DV_SANDBOX_EXTENDED_H

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define DV_SANDBOX_EXTENDED 1
#endif
#endif
#if !defined(DV_SANDBOX_EXTENDED) && (defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__))
#define DV_SANDBOX_EXTENDED 1
#endif
#ifndef DV_SANDBOX_EXTENDED
#define DV_SANDBOX_EXTENDED 0
#endif

#endif
