"""Sphinx settings of the site; ``docs/make.py`` stages the sources and builds it.

The PyData theme, as NumPy, pandas and scikit-learn have it: a bar of sections, a sidebar in each,
search, narrow screens, and nothing that is loaded from elsewhere.
"""

import nslab

project = "nslab"
author = "The nslab authors"
copyright = "The nslab authors, Apache-2.0"
version = release = nslab.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_design",
    "sphinx_copybutton",
    "nslab_docs.sphinx_parts",
]
exclude_patterns = ["downloads"]
nitpicky = True

# Docstrings: single backticks refer to something, or are code if there is no such thing.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
add_module_names = False
toc_object_entries_show_parents = "hide"
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_attr_annotations = False
suppress_warnings = ["ref.python"]  # names of one class that several others have too

# Notebooks are executed by `nslab render`, never here.
nb_execution_mode = "off"
nb_merge_streams = True
nb_render_markdown_format = "myst"
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
myst_update_mathjax = False
html_math_renderer = "mathml"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"

html_theme = "pydata_sphinx_theme"
html_title = "nslab"
html_favicon = "static/favicon.svg"
html_context = {"default_mode": "auto"}
html_static_path = ["static"]
html_css_files = ["nslab.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "nslab"},
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_nav_level": 1,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": [], "start": []}  # sections of one page
