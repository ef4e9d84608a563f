"""How often search finds what it should: figures from the ranks of the right documents."""

from tasks.rag.retrieval import Hit


def retrieval_figures(ranks: list[int]) -> dict[str, float]:
    """hit@1, hit@5 and MRR@10 from the ranks of the right documents (from 1; 0 where it is not among the first ten)."""
    n = max(1, len(ranks))
    return {
        "hit@1": sum(rank == 1 for rank in ranks) / n,
        "hit@5": sum(0 < rank <= 5 for rank in ranks) / n,
        "mrr@10": sum(1 / rank for rank in ranks if rank) / n,
    }


def document_rank(hits: list[Hit], document: str) -> int:
    """Rank of a document among the distinct documents of the hits, 0 where it is not among the first ten."""
    order = list(dict.fromkeys(hit.document for hit in hits))[:10]
    return order.index(document) + 1 if document in order else 0
