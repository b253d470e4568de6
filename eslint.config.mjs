// SPDX-License-Identifier: LGPL-2.1-or-later
import eslint from '@eslint/js';
import tseslint from 'typescript-eslint';

/** What all of the product keeps to. */
const PRODUCT = {
  group: ['**/test/**', '**/scripts/**'],
  message: 'product code does not import tests or scripts',
};

/**
 * Forbids imports that point upwards; the layers are drawn in docs/architecture.md. Where the files of two layers
 * overlap the later one alone holds, so each has what all keep to.
 */
const layer = (files, ...patterns) => ({
  files,
  rules: { 'no-restricted-imports': ['error', { patterns: [PRODUCT, ...patterns] }] },
});

export default tseslint.config(
  { ignores: ['build/', 'node_modules/'] },
  eslint.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/explicit-module-boundary-types': 'error',
      '@typescript-eslint/strict-boolean-expressions': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-floating-promises': [
        'error',
        { allowForKnownSafeCalls: [{ from: 'package', name: ['describe', 'it'], package: 'mocha' }] },
      ],
    },
  },
  layer(['controller/**/*.ts']),
  layer(['schemas/**/*.ts'], { group: ['**/controller/**'], message: 'schemas import nothing of ours' }),
  layer(['controller/xenbus/**/*.ts', 'controller/sndif/**/*.ts', 'controller/policy/**/*.ts'], {
    group: ['**/device/**', '**/adapters/**', '**/controller.js', '**/main.js'],
    message: 'pure layers import only schemas and util',
  }),
  layer(['controller/device/**/*.ts'], {
    group: ['**/adapters/**', '**/controller.js', '**/main.js'],
    message: 'device talks to the outside through ports.ts',
  }),
  layer(['controller/util/**/*.ts'], {
    group: ['../**', '**/schemas/**'],
    message: 'util imports nothing of ours',
  }),
  layer(
    ['controller/ctl/**/*.ts'],
    {
      group: [
        '**/device/**',
        '**/xenbus/**',
        '**/sndif/**',
        '**/consent/**',
        '**/controller.js',
        '../main.js',
      ],
      message: 'the commands know the daemon over D-Bus alone',
    },
    {
      regex: '/adapters/(?!system/policy-file\\.js$)',
      message: 'the commands know the daemon over D-Bus alone, and read policy files',
    },
  ),
  layer(['controller/consent/**/*.ts'], {
    group: [
      '**/adapters/**',
      '**/device/**',
      '**/xenbus/**',
      '**/sndif/**',
      '**/controller.js',
      '../main.js',
    ],
    message: 'a desktop tool knows the daemon over D-Bus alone',
  }),
);
