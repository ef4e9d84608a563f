"""One turn of the chatbot: look things up, build the prompt, stream the answer, say where it comes from.

In a language in which the catalogue calls the model weak, the engine does not let it write: it quotes the best sentence found and says so.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase, StoppingCriteria, TextIteratorStreamer

from tasks.chatbot.conversation import Conversation
from tasks.chatbot.settings import ChatSettings
from tasks.data.language import detect
from tasks.prompts.context import with_context
from tasks.prompts.template import encode_prompt, end_ids
from tasks.rag.bm25 import terms
from tasks.rag.chunking import sentences
from tasks.rag.retrieval import Hit, Retriever, subject

NOTHING_FOUND = {"en": "The documents do not answer this.", "ja": "この質問の答えは資料の中に見つかりませんでした。"}
QUOTED = {"en": "From “{title}”: {sentence}", "ja": "資料「{title}」より引用します: {sentence}"}
QUOTING_BECAUSE = {
    "en": "(This model writes this language poorly, so the source is quoted.)",
    "ja": "(このモデルは日本語の文章が苦手なため、資料の文をそのまま引用しています。)",
}


class _Stop(StoppingCriteria):
    """Ends generation when somebody asks for it."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    def __call__(self, *_: object, **__: object) -> bool:
        return self.asked.is_set()


@dataclass
class Turn:
    """What the last question led to."""

    question: str
    answer: str = ""
    sources: list[Hit] = field(default_factory=list)
    quoted: bool = False


class ChatEngine:
    """A model, an index (or none) and a conversation."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        retriever: Retriever | None,
        settings: ChatSettings,
        weak_in: tuple[str, ...] = (),
    ):
        self.model, self.tokenizer, self.retriever, self.settings, self.weak_in = model, tokenizer, retriever, settings, weak_in
        self.conversation = Conversation(settings.system, settings.max_turns)
        self.turn: Turn | None = None

    def answer(self, question: str) -> Iterator[str]:
        """The answer in pieces as they come. Closing the iterator early breaks the answer off and forgets the question."""
        self.turn = Turn(question, sources=self._look_up(question))
        lang = detect(question)
        if lang in self.weak_in and self.retriever is not None:
            pieces = iter([self._quote(question, lang)])
        else:
            pieces = self._generate(question)
        done = False
        try:
            for piece in pieces:
                self.turn.answer += piece
                yield piece
            done = True
        finally:
            if isinstance(pieces, Iterator) and hasattr(pieces, "close"):
                pieces.close()
            if done:
                self.conversation.add("user", question)
                self.conversation.add("assistant", self.turn.answer.strip())

    def _look_up(self, question: str) -> list[Hit]:
        if self.retriever is None or not self.settings.chunks:
            return []
        return [hit for hit in self.retriever.search(question, self.settings.chunks) if hit.score >= self.settings.min_score]

    def _quote(self, question: str, lang: str) -> str:
        if not self.turn.sources:
            return NOTHING_FOUND[lang]
        self.turn.quoted = True
        hit, sentence = best_sentence(question, self.turn.sources, self.retriever.bm25.rarity)
        self.turn.sources = [hit]
        return f"{QUOTED[lang].format(title=hit.title, sentence=sentence)}\n{QUOTING_BECAUSE[lang]}"

    def _generate(self, question: str) -> Iterator[str]:
        """Stream from transformers' generate, which runs in a thread of its own."""
        import torch

        last = {"role": "user", "content": question}
        if self.turn.sources:
            last = with_context([last], [hit.text for hit in self.turn.sources])[-1]
        context = getattr(self.model.config, "max_position_embeddings", 2048)
        messages = self.conversation.fitting(
            last, context - self.settings.max_new_tokens, lambda chat: len(encode_prompt(self.tokenizer, chat))
        )
        ids = torch.tensor([encode_prompt(self.tokenizer, messages)[-(context - self.settings.max_new_tokens) :]], device=self.model.device)
        streamer = TextIteratorStreamer(self.tokenizer, skip_prompt=True, skip_special_tokens=True)
        stop, failed = _Stop(), []
        beams = self.settings.num_beams > 1  # which one wins is known only when all are done: nothing to stream

        def run() -> None:
            try:
                out = self.model.generate(
                    ids,
                    attention_mask=torch.ones_like(ids),
                    generation_config=self._generation(),
                    streamer=None if beams else streamer,
                    stopping_criteria=[stop],
                )
                if beams:
                    streamer.on_finalized_text(self.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True), stream_end=True)
            except Exception as error:
                failed.append(error)
                streamer.end()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield from streamer
        finally:
            stop.asked.set()
            thread.join()
        if failed:
            raise failed[0]

    def _generation(self) -> GenerationConfig:
        s = self.settings
        drawn = s.temperature > 0 and s.num_beams == 1
        drawing = {"temperature": s.temperature, "top_k": s.top_k or None, "top_p": s.top_p} if drawn else {}
        return GenerationConfig(
            max_new_tokens=s.max_new_tokens,
            do_sample=drawn,
            num_beams=s.num_beams,
            no_repeat_ngram_size=s.no_repeat_ngram,
            eos_token_id=sorted(end_ids(self.tokenizer)),
            pad_token_id=self.tokenizer.pad_token_id,
            **drawing,
        )


def best_sentence(question: str, hits: list[Hit], rarity: Callable[[str], float]) -> tuple[Hit, str]:
    """The sentence of the hits that shares the rarest terms with the question; earlier hits, and texts in the question's language, are favoured."""
    asked, lang = set(terms(subject(question))), detect(question)

    def worth(hit: Hit, rank: int, sentence: str) -> float:
        shared = sum(rarity(term) for term in asked & set(terms(sentence)))
        return shared / (2 + rank) * (1.0 if hit.lang == lang else 0.5)

    candidates = [(worth(hit, rank, sentence), hit, sentence) for rank, hit in enumerate(hits) for sentence in sentences(hit.text)]
    _, hit, sentence = max(candidates, key=lambda candidate: candidate[0])
    return hit, sentence
