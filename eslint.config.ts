import tseslint from 'typescript-eslint';

// Biome does style and most rules; only the two rules that need type information, and that a daemon must have, live here.
export default tseslint.config({
  files: ['src/**/*.ts', 'test/**/*.ts', 'lab/**/*.ts', 'scripts/**/*.ts'],
  languageOptions: {
    parser: tseslint.parser,
    parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
  },
  plugins: { '@typescript-eslint': tseslint.plugin },
  rules: {
    '@typescript-eslint/no-floating-promises': 'error',
    '@typescript-eslint/no-misused-promises': 'error',
  },
});
