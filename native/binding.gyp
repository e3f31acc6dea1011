{
  'variables': { 'openssl_fips': '' },
  'targets': [
    {
      'target_name': 'tidegate_relay',
      'conditions': [
        ['OS=="linux"', {
          'sources': [
            'src/addon.c',
            'src/addon_common.c',
            'src/addon_door.c',
            'src/closing.c',
            'src/door.c',
            'src/engine.c',
            'src/fan_out.c',
            'src/injector.c',
            'src/limiter.c',
            'src/pair.c',
            'src/relay_thread.c',
            'src/scanner.c',
            'src/visit.c',
            'src/visit_upstream.c',
          ],
          'cflags_c': ['-std=c11', '-Wall', '-Wextra', '-fvisibility=hidden', '-pthread'],
          'ldflags': ['-pthread'],
          'configurations': { 'Release': { 'cflags_c': ['-O2', '-DNDEBUG'] } },
        }, { 'type': 'none' }],
      ],
    },
  ],
}
