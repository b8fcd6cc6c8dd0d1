"""Training batches: windows of running text, and conversations in the chat format."""

import bisect

import numpy as np

from . import tokenizer as tok

CHAT_SHARE = 0.12  # of the sequences are conversations
HEADING_SHARE = 0.08  # of the text windows start at a chapter heading
VERSE_SHARE = 0.45  # of the text windows start at the first word of a verse
SYSTEM_SHARE = 0.2  # of the conversations start with a system turn
SYSTEM_PROMPTS = [
    "You quote the King James Bible.",
    "Complete the verse.",
    "Answer with a verse.",
]


class Batches:
    """Draws batches of token ids; the same seed gives the same batches."""

    def __init__(self, chapters, tokenizer, batch, length, seed):
        self.tokenizer = tokenizer
        self.batch, self.length = batch, length
        self.random = np.random.default_rng(seed)
        self.verses = []  # text of each verse
        self.bare = []  # its tokens without the space before it
        self.starts, self.ends = [], []  # its place in the stream
        self.headings = []  # places of the headings
        stream = []
        book = None
        for chapter in chapters:
            if book is not None:
                stream += [tok.EOS, tok.BOS] if chapter.book != book else self.encode("\n\n")
            book = chapter.book
            self.headings.append(len(stream))
            stream += self.encode(chapter.heading)
            for index, verse in enumerate(chapter.verses):
                self.verses.append(verse)
                self.bare.append(self.encode(verse))
                self.starts.append(len(stream))
                stream += self.encode(" " + verse) if index else self.bare[-1]
                self.ends.append(len(stream))
        stream.append(tok.EOS)
        self.stream = np.array(stream, dtype=np.int64)
        self.places = []

    def encode(self, text):
        return tok.encode(self.tokenizer, text)

    def next_place(self):
        """Walks the text in random order: each round covers all of it, each with another phase."""
        if not self.places:
            phase = int(self.random.integers(self.length))
            places = np.arange(phase, len(self.stream) - self.length - 1, self.length)
            self.places = self.random.permutation(places).tolist()
        return self.places.pop()

    def text_window(self):
        place = self.next_place()
        kind = self.random.random()
        head = []
        if kind < HEADING_SHARE:
            place = self.headings[max(0, bisect.bisect_right(self.headings, place) - 1)]
        elif kind < HEADING_SHARE + VERSE_SHARE:
            verse = max(0, bisect.bisect_right(self.starts, place) - 1)
            head, place = self.bare[verse], self.ends[verse]
        return [tok.BOS, *head, *self.stream[place : place + self.length]]

    def prompt_and_answer(self):
        """The first words of a verse, and the verse, at times with the verse after it."""
        index = int(self.random.integers(len(self.verses)))
        verse = self.verses[index]
        words = verse.split()
        count = min(int(self.random.integers(2, 9)), max(1, len(words) - 2))
        prompt = " ".join(words[:count])
        if self.random.random() < 0.7:
            prompt = prompt.rstrip(",;:.?!")
        if self.random.random() < 0.15:
            prompt = prompt.lower()
        if self.random.random() < 0.4 and index + 1 < len(self.verses):
            verse += " " + self.verses[index + 1]
        return prompt, verse

    def conversation(self):
        ids = [tok.BOS]
        if self.random.random() < SYSTEM_SHARE:
            system = SYSTEM_PROMPTS[int(self.random.integers(len(SYSTEM_PROMPTS)))]
            ids += self.encode(f"<|turn>system\n{system}<turn|>\n")
        while len(ids) <= self.length:
            prompt, answer = self.prompt_and_answer()
            ids += self.encode(f"<|turn>user\n{prompt}<turn|>\n<|turn>model\n{answer}<turn|>\n")
        return ids

    def next(self):
        """A batch of shape (batch, length + 1)."""
        rows = []
        for _ in range(self.batch):
            row = self.conversation() if self.random.random() < CHAT_SHARE else self.text_window()
            row = list(row[: self.length + 1])
            rows.append(row + [tok.PAD] * (self.length + 1 - len(row)))
        return np.array(rows, dtype=np.int64)
