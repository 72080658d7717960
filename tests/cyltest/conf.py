# SPDX-License-Identifier: BSD-3-Clause
"""The two configuration files of a server."""


def write_imapd_conf(path, options):
    """options: name to value; a value None leaves the option out, bool becomes yes or no."""
    with open(path, "w", encoding="utf-8") as f:
        for name, value in options.items():
            if value is None:
                continue
            if isinstance(value, bool):
                value = "yes" if value else "no"
            f.write(f"{name}: {value}\n")


def _entry(name, attributes):
    pairs = [f'{key}="{value}"' for key, value in attributes.items() if value is not None]
    return f"  {name} {' '.join(pairs)}\n"


def write_cyrus_conf(path, sections):
    """sections: section name to a list of (entry name, attributes)."""
    with open(path, "w", encoding="utf-8") as f:
        for section, entries in sections.items():
            f.write(f"{section} {{\n")
            for name, attributes in entries:
                f.write(_entry(name, attributes))
            f.write("}\n")
