"""Prompts that Open WebUI sends by itself, by their form, in words of our own; and questions that people may ask in a like form."""

HISTORY = "USER: What is LoRA?\nASSISTANT: It trains two small matrices beside each layer."
HISTORY_JA = "USER: 量子化とは何ですか?\nASSISTANT: 重みのビット数を減らします。"
SINCE = "### Chat History:\n<chat_history>\n{history}\n</chat_history>"

TITLE = f"""### Task:
Name this conversation in a few words, with an emoji in front.
### Guidelines:
- Say what it is about, in its own language.
- Write nothing but the JSON object.
### Output:
JSON format: {{ "title": "the name comes here" }}
### Examples:
- {{ "title": "🧱 Building with Bricks" }},
- {{ "title": "A Walk in Kyoto" }}
{SINCE.format(history=HISTORY)}"""

TAGS = f"""### Task:
Give one to three tags of what this conversation is about.

### Guidelines:
- Broad fields come first.

### Output:
JSON format: {{ "tags": ["one", "two", "three"] }}

{SINCE.format(history=HISTORY)}"""

FOLLOW_UPS = f"""### Task:
What may the **user** ask next? Three to five questions.
### Output:
JSON format: {{ "follow_ups": ["First?", "Second?"] }}
{SINCE.format(history=HISTORY)}"""

QUERIES = f"""### Task:
See in the conversation what should be searched for.

### Guidelines:
- Answer **ONLY** with a JSON object: {{ "queries": ["first", "second"] }}.
- Where nothing helps: {{ "queries": [] }}.
- Today is 2026-11-29.

### Output:
Strictly JSON:
{{
  "queries": ["first", "second"]
}}

{SINCE.format(history=HISTORY)}
"""

AUTOCOMPLETE = f"""### Task:
Go on with the text in `<text>`, as its `<type>` says.

### **Instructions**:
1. Read `<text>`.
2. If unsure, return: `{{ "text": "" }}`.

### **Examples**:
#### Example 1:
<type>General</type>
<text>The sea was</text>
Output:
{{ "text": "calm and grey." }}

---
### Context:
<chat_history>
{HISTORY}
</chat_history>
<type>Search Query</type>
<text>how do I merge
# an adapter</text>
#### Output:
"""

IN_JAPANESE = f"""### タスク:
この会話に短い題名を付けてください。
### 注意:
- 会話と同じ言語で書いてください。
### 出力:
JSON形式: {{ "title": "ここに題名" }}
### 会話:
<chat_history>
{HISTORY_JA}
</chat_history>"""

IN_PLAIN_TEXT = f"""# 依頼:
次の会話を一言でまとめてください。
# 会話:
<chat_history>
{HISTORY_JA}
</chat_history>"""

IN_OTHER_WORDS = {
    "without_headings": f"Give this chat a title of three words.\n\n<chat_history>\n{HISTORY}\n</chat_history>\n",
    "without_headings_in_japanese": f"次の会話に短い題名を付けてください。\n<chat_history>\n{HISTORY_JA}\n</chat_history>",
    "with_one_heading": f"### タスク\nタグを三つまで付けてください。\n\n<chat_history>\n{HISTORY_JA}\n</chat_history>",
    "with_a_long_heading": f"### Task: {'Name this conversation in a few words, with an emoji in front. ' * 2}\n{SINCE.format(history=HISTORY)}",
    "conversation_first": f"<chat_history>\n{HISTORY_JA}\n</chat_history>\n上の会話に題名を付けてください。",
}
PROMPTS = {
    "title": TITLE,
    "tags": TAGS,
    "follow_ups": FOLLOW_UPS,
    "queries": QUERIES,
    "autocomplete": AUTOCOMPLETE,
    "in_japanese": IN_JAPANESE,
    "in_plain_text": IN_PLAIN_TEXT,
    "before_anything_was_said": AUTOCOMPLETE.replace(HISTORY, ""),
    **IN_OTHER_WORDS,
}

# What a person asks, though it begins alike.
QUESTIONS = {
    "begins_alike": "### Task:\nHow do I write a title for my report?\n### Guidelines:\n- at most five words",
    "asks_about_the_prompt": f"What does this prompt do?\n\n{TITLE}",
    "asks_behind_the_prompt": f"{TITLE}\n\nWhy does the model not answer this with JSON?",
    "asks_behind_the_prompt_in_japanese": f"{IN_JAPANESE}\n\nこのプロンプトの意味を教えてください。",
    "asks_about_the_element": "### Question:\nWhat belongs between <chat_history> and </chat_history>?\n### Reason:\nI write a template.",
    "with_context": "### Task:\nAnswer by the context, with citations such as [1].\n### Guidelines:\n- Say so if you do not know.\n"
    '<context>\n<source id="1">LoRA trains two matrices.</source>\n</context>\n\nWhat is LoRA?',
    "about_an_empty_element": "What belongs into <chat_history></chat_history>?",
    "a_log_without_roles": f"### Task:\nSum up.\n### Log:\n<chat_history>\n{'we met at ten'}\n</chat_history>",
    "unclosed": TITLE.removesuffix("</chat_history>"),
}
