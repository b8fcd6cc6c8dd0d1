"""The King James Bible as training text.

The text comes from Debian's `bible-kjv-text` package, read with the `bible` program of the
`bible-kjv` package (apt-get install bible-kjv). The translation is from 1611 and is in the
public domain.
"""

import re
import subprocess
from dataclasses import dataclass

BOOKS = (
    "Genesis Exodus Leviticus Numbers Deuteronomy Joshua Judges Ruth 1_Samuel 2_Samuel 1_Kings "
    "2_Kings 1_Chronicles 2_Chronicles Ezra Nehemiah Esther Job Psalm Proverbs Ecclesiastes "
    "Song_of_Solomon Isaiah Jeremiah Lamentations Ezekiel Daniel Hosea Joel Amos Obadiah Jonah "
    "Micah Nahum Habakkuk Zephaniah Haggai Zechariah Malachi Matthew Mark Luke John Acts Romans "
    "1_Corinthians 2_Corinthians Galatians Ephesians Philippians Colossians 1_Thessalonians "
    "2_Thessalonians 1_Timothy 2_Timothy Titus Philemon Hebrews James 1_Peter 2_Peter 1_John "
    "2_John 3_John Jude Revelation"
).split()

VERSE_COUNT = 31102
HELDOUT_EVERY = 100  # every 100th chapter is held out ...
HELDOUT_PHASE = 49  # ... starting with the 50th


@dataclass
class Chapter:
    """One chapter: its book, its number and its verses."""

    book: str
    number: int
    verses: list

    @property
    def heading(self):
        return f"{self.book} {self.number}\n\n"


def dump_verses(reader="bible"):
    """Returns the reader's whole output, one 'BookC:V text' line for each verse."""
    command = [reader, "-f", "-l10000", "gen1:1-rev22:21"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    return done.stdout


def load_chapters(reader="bible"):
    """Reads the whole Bible as a list of chapters in book order."""
    chapters, abbreviations = [], []
    count = 0
    for line in dump_verses(reader).splitlines():
        found = re.match(r"(\d?[A-Za-z]+?)(\d+):(\d+) (.*)$", line)
        if not found:
            continue
        abbreviation, number = found[1], int(found[2])
        if not abbreviations or abbreviations[-1] != abbreviation:
            abbreviations.append(abbreviation)
        book = BOOKS[len(abbreviations) - 1].replace("_", " ")
        if not chapters or (chapters[-1].book, chapters[-1].number) != (book, number):
            chapters.append(Chapter(book, number, []))
        chapters[-1].verses.append(" ".join(found[4].split()))
        count += 1
    if count != VERSE_COUNT or len(abbreviations) != len(BOOKS):
        raise SystemExit(f"unexpected Bible text: {count} verses in {len(abbreviations)} books")
    return chapters


def split_heldout(chapters):
    """Splits the chapters into (training, held out)."""
    train, heldout = [], []
    for index, chapter in enumerate(chapters):
        (heldout if index % HELDOUT_EVERY == HELDOUT_PHASE else train).append(chapter)
    return train, heldout


def plain_text(chapters):
    """The chapters as running text: a heading line, an empty line, the verses as one paragraph."""
    return "\n\n".join(chapter.heading + " ".join(chapter.verses) for chapter in chapters) + "\n"
