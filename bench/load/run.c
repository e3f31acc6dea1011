/*
 * load run CORES DESCRIPTORS -- COMMAND …: becomes COMMAND, pinned to those cores ("-": any), with room for so many
 * descriptors where that is allowed, and killed as soon as its parent is gone (SIGKILL, for it may be stopped).
 */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static void pin(const char *cores) {
  if (!strcmp(cores, "-")) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const char *at = cores; *at;) {
    char *end;
    long core = strtol(at, &end, 10);
    if (end == at || core < 0 || core >= CPU_SETSIZE || (*end && *end != ',')) usage("run: bad cores '%s'", cores);
    CPU_SET((size_t)core, &set);
    at = *end ? end + 1 : end;
  }
  if (sched_setaffinity(0, sizeof set, &set) < 0) usage("run: cannot pin to core %s: %s", cores, strerror(errno));
}

static void raise_descriptors(rlim_t wanted) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
  struct rlimit raised = {wanted, wanted > limit.rlim_max ? wanted : limit.rlim_max};
  if (setrlimit(RLIMIT_NOFILE, &raised) == 0) return;
  /* Only root may go beyond the hard limit. */
  raised.rlim_cur = raised.rlim_max = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &raised);
}

int run_main(int count, char **args) {
  if (count < 4 || strcmp(args[2], "--") != 0) usage("usage: load run CORES DESCRIPTORS -- COMMAND …");
  pin(args[0]);
  raise_descriptors((rlim_t)strtoul(args[1], NULL, 10));
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  execvp(args[3], args + 3);
  usage("run: %s: %s", args[3], strerror(errno));
}
