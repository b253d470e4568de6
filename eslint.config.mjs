// SPDX-License-Identifier: LGPL-2.1-or-later
import eslint from '@eslint/js';
import tseslint from 'typescript-eslint';

/** Forbids imports that point upwards; the layers are drawn in docs/architecture.md. */
const layer = (files, forbidden, message) => ({
  files,
  rules: {
    'no-restricted-imports': ['error', { patterns: [{ group: forbidden, message }] }],
  },
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
  layer(['schemas/**/*.ts'], ['**/controller/**', '**/test/**'], 'schemas import nothing of ours'),
  layer(
    ['controller/xenbus/**/*.ts', 'controller/sndif/**/*.ts', 'controller/policy/**/*.ts'],
    ['**/device/**', '**/adapters/**', '**/controller.js', '**/main.js', '**/test/**'],
    'pure layers import only schemas and util',
  ),
  layer(
    ['controller/device/**/*.ts'],
    ['**/adapters/**', '**/controller.js', '**/main.js', '**/test/**'],
    'device talks to the outside through ports.ts',
  ),
  layer(['controller/util/**/*.ts'], ['../**', '**/schemas/**'], 'util imports nothing of ours'),
  layer(
    ['controller/**/*.ts'],
    ['**/test/**', '**/scripts/**'],
    'product code does not import tests or scripts',
  ),
);
