{
  'variables': { 'openssl_fips': '' },
  'targets': [
    {
      'target_name': 'tidegate_relay',
      'conditions': [
        ['OS=="linux"', {
          'sources': [
            'src/addon.c',
            'src/engine.c',
            'src/injector.c',
            'src/pair.c',
            'src/relay_thread.c',
            'src/scanner.c',
          ],
          'cflags_c': ['-std=c11', '-Wall', '-Wextra', '-fvisibility=hidden', '-pthread'],
          'ldflags': ['-pthread'],
          'configurations': { 'Release': { 'cflags_c': ['-O2', '-DNDEBUG'] } },
        }, { 'type': 'none' }],
      ],
    },
  ],
}
