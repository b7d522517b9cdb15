// Rules for the page's modules and their tests; `npm run lint` calls eslint in the project's own folder.
import js from "@eslint/js";
import globals from "globals";

export default [
  js.configs.recommended,
  { rules: { eqeqeq: "error", "no-var": "error", "prefer-const": "error", "no-shadow": "error" } },
  { files: ["siamese/**/*.js"], languageOptions: { sourceType: "module", globals: globals.browser } },
  { files: ["tests/js/**/*.js"], languageOptions: { sourceType: "module", globals: globals.node } },
];
