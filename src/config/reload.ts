import { z } from 'zod';

/** What becomes of open WebSockets that a reload leaves without what they came through. */
export const letGoPolicies = ['keep', 'drain', 'close'] as const;
export type LetGoPolicy = (typeof letGoPolicies)[number];

export const reload = z
  .strictObject({
    changedRoutes: z
      .enum(letGoPolicies)
      .prefault('keep')
      .describe(
        'What becomes of the open WebSockets of routes that a reload has changed or removed. `keep`: they go on as they began. `drain`: they are let go of as `drain` says, spread over its time. `close`: all are closed at once, with 1012 (service restart). A route is known by its `name`, without one by its `match`; its place in the list does not count as a change.',
      ),
    removedServers: z
      .enum(letGoPolicies)
      .prefault('keep')
      .describe(
        'The same for the open WebSockets of servers that a reload has removed. A server is known by its URL, in its upstream.',
      ),
    watch: z
      .boolean()
      .prefault(false)
      .describe(
        'Whether `tidegate serve` reloads by itself when its file has changed, or one that it names: a certificate, a key, a token.',
      ),
  })
  .prefault({})
  .describe(
    'How a new configuration is taken over: on SIGHUP, by `tidegate reload`, or when the file changes. One with errors changes nothing.',
  )
  .meta({ example: 'reload: { changedRoutes: drain, watch: true }' });
