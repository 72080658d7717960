# SPDX-License-Identifier: BSD-3-Clause
"""What a process has for itself in memory, from /proc/PID/smaps."""


class OwnMemory:
    """Bytes that only this process has. Pages of programs and libraries that it didn't write to are the page cache's, and
    whoever needs them shares them: they count for nobody, as which process the kernel has mapped them in at the moment
    depends on what else the machine does."""

    def __init__(self, pid):
        self.by_mapping = {}
        with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="surrogateescape") as f:
            name, program = "", False
            for line in f:
                field, *words = line.split()
                if not field.endswith(":"):
                    name = words[4] if len(words) > 4 else "[anonymous]"
                    program = name.startswith("/") and is_program(name)
                elif field == "Private_Dirty:" or field == "Private_Clean:" and not program:
                    self.by_mapping[name] = self.by_mapping.get(name, 0) + 1024 * int(words[0])

    @property
    def bytes(self):
        return sum(self.by_mapping.values())

    def __str__(self):
        largest = sorted(self.by_mapping.items(), key=lambda item: -item[1])
        return f"{self.bytes >> 10} KB: " + ", ".join(f"{size >> 10} {name}" for name, size in largest if size)


def is_program(path):
    """Whether a file is a program or a library (ELF)."""
    try:
        with open(path, "rb") as f:
            return f.read(4) == b"\x7fELF"
    except OSError:
        return False


def own_bytes(pid):
    """0 when the process is gone."""
    try:
        return OwnMemory(pid).bytes
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
