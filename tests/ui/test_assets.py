import re

import pytest

from siamese.ui.assets import EXPORT, STATIC, bundle


def written(folder, **modules):
    for name, text in modules.items():
        (folder / f"{name}.js").write_text(text, encoding="utf-8")
    return folder


def test_modules_run_once_and_after_what_they_import(tmp_path):
    folder = written(
        tmp_path,
        page='import { a } from "./one.js";\nimport { b as c } from "./two.js";\na(c);\n',
        one="export const a = (x) => x;\nexport class A {}\n",
        two='import { a, A } from "./one.js";\nexport function b() { return a(A); }\n',
    )
    assert bundle("page.js", folder) == (
        '(() => {\n"use strict";\n'
        "const module0 = (() => {\nconst a = (x) => x;\nclass A {}\nreturn { a, A };\n})();\n"
        "const module1 = (() => {\nconst { a, A } = module0;\nfunction b() { return a(A); }\nreturn { b };\n})();\n"
        "const module2 = (() => {\nconst { a } = module0;\nconst { b: c } = module1;\na(c);\nreturn {  };\n})();\n"
        "})();\n"
    )


@pytest.mark.parametrize("form", ["export default 3;", 'import all from "./one.js";', 'export * from "./one.js";'])
def test_other_forms_are_refused(tmp_path, form):
    with pytest.raises(ValueError, match=re.escape(form)):
        bundle("page.js", written(tmp_path, page=form + "\n", one=""))


def test_a_circle_of_imports_is_refused(tmp_path):
    folder = written(tmp_path, page='import { a } from "./one.js";\n', one='import { b } from "./page.js";\n')
    with pytest.raises(ValueError, match="imports itself"):
        bundle("page.js", folder)


def test_every_module_is_part_of_the_page_and_ends_no_script_element():
    page = bundle("page.js")
    assert "</script" not in page
    for path in STATIC.rglob("*.js"):
        for name in EXPORT.findall(path.read_text(encoding="utf-8")):
            assert re.search(rf"^(?:const|class|(?:async )?function) {name}\b", page, re.MULTILINE), path.name
