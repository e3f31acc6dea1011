/* The benchmark's load: `load backend`, `load events`, `load client`, `load certificate` and `load run`, one program. */
#include "load.h"

#include <signal.h>
#include <string.h>

int main(int count, char **args) {
  signal(SIGPIPE, SIG_IGN);
  if (count >= 2 && !strcmp(args[1], "backend")) return backend_main(count - 2, args + 2);
  if (count >= 2 && !strcmp(args[1], "events")) return events_main(count - 2, args + 2);
  if (count >= 2 && !strcmp(args[1], "client")) return client_main(count - 2, args + 2);
  if (count >= 2 && !strcmp(args[1], "certificate")) return certificate_main(count - 2, args + 2);
  if (count >= 2 && !strcmp(args[1], "run")) return run_main(count - 2, args + 2);
  usage("usage: load backend | events | client | certificate | run");
}
