"""Chat templates of the shapes that models have, written anew: what they take and refuse, where they end turns, what they rewrite."""

ALTERNATE = (
    "{%- for m in messages %}{%- if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{%- endif %}{%- endfor %}"
)
TEMPLATES: dict[str, str] = {
    "chatml": (
        "{%- for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' }}{%- endfor %}"
        "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- endif %}"
    ),
    "smollm2": (
        "{%- if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{%- endif %}"
        "{%- for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' }}{%- endfor %}"
        "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- endif %}"
    ),
    "qwen2.5": (
        "{%- if tools %}{{ '<|im_start|>system\\n' }}{%- if messages[0].role == 'system' %}{{ messages[0].content }}{%- else %}"
        "{{ 'You are a helpful assistant.' }}{%- endif %}{{ '\\n\\n# Tools\\n<tools>' }}{%- for tool in tools %}{{ '\\n' }}{{ tool | tojson }}"
        "{%- endfor %}{{ '\\n</tools><|im_end|>\\n' }}{%- elif messages[0].role == 'system' %}"
        "{{ '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}{%- endif %}"
        "{%- for m in messages %}{%- if m.role == 'user' or (m.role == 'system' and not loop.first) or (m.role == 'assistant' and not m.tool_calls) %}"
        "{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
        "{%- elif m.role == 'assistant' %}{{ '<|im_start|>assistant' }}{%- if m.content %}{{ '\\n' + m.content }}{%- endif %}"
        '{%- for call in m.tool_calls %}{%- set call = call.function %}{{ \'\\n<tool_call>\\n{"name": "\' + call.name + \'", "arguments": \' }}'
        "{{ call.arguments | tojson }}{{ '}\\n</tool_call>' }}{%- endfor %}{{ '<|im_end|>\\n' }}"
        "{%- elif m.role == 'tool' %}{%- if loop.index0 == 0 or messages[loop.index0 - 1].role != 'tool' %}{{ '<|im_start|>user' }}{%- endif %}"
        "{{ '\\n<tool_response>\\n' + m.content + '\\n</tool_response>' }}"
        "{%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{ '<|im_end|>\\n' }}{%- endif %}{%- endif %}{%- endfor %}"
        "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- endif %}"
    ),
    "qwen3": (  # earlier answers lose their thoughts, the last one has an empty one
        "{%- for m in messages %}{%- if m.role == 'assistant' %}{%- set said = m.content.split('</think>')[-1].lstrip('\\n') %}"
        "{{ '<|im_start|>assistant\\n' }}{%- if loop.last %}{{ '<think>\\n' }}"
        "{%- if '</think>' in m.content %}{{ m.content.split('</think>')[0].split('<think>')[-1].strip('\\n') }}{%- endif %}"
        "{{ '\\n</think>\\n\\n' }}{%- endif %}{{ said + '<|im_end|>\\n' }}"
        "{%- else %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{%- endif %}{%- endfor %}"
        "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- if enable_thinking is defined and enable_thinking is false %}"
        "{{ '<think>\\n\\n</think>\\n\\n' }}{%- endif %}{%- endif %}"
    ),
    "llama2": (
        "{%- if messages[0]['role'] == 'system' %}{%- set system = '<<SYS>>\\n' + messages[0]['content'] + '\\n<</SYS>>\\n\\n' %}"
        "{%- set messages = messages[1:] %}{%- else %}{%- set system = '' %}{%- endif %}" + ALTERNATE + "{%- for m in messages %}"
        "{%- if m['role'] == 'user' %}{{ bos_token + '[INST] ' + (system if loop.index0 == 0 else '') + m['content'].strip() + ' [/INST]' }}"
        "{%- else %}{{ ' ' + m['content'].strip() + ' ' + eos_token }}{%- endif %}{%- endfor %}"
    ),
    "llama3": (
        "{{ bos_token }}{%- if messages[0]['role'] == 'system' %}{%- set system = messages[0]['content'] %}{%- set messages = messages[1:] %}"
        "{%- else %}{%- set system = '' %}{%- endif %}"
        "{{ '<|start_header_id|>system<|end_header_id|>\\n\\nToday Date: ' + strftime_now('%d %b %Y') + '\\n\\n' + system + '<|eot_id|>' }}"
        "{%- for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' + m['content'] | trim + '<|eot_id|>' }}{%- endfor %}"
        "{%- if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}"
    ),
    "mistral": (
        "{{ bos_token }}" + ALTERNATE + "{%- for m in messages %}{%- if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
        "{%- else %}{{ ' ' + m['content'] + eos_token }}{%- endif %}{%- endfor %}"
    ),
    "gemma": (
        "{{ bos_token }}{%- if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{%- endif %}"
        + ALTERNATE
        + "{%- for m in messages %}{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\\n' + m['content'] | trim + "
        "'<end_of_turn>\\n' }}{%- endfor %}{%- if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{%- endif %}"
    ),
    "phi3": (  # an end of its own behind the conversation, which is not the end of a turn
        "{%- for m in messages %}{{ '<|' + m['role'] + '|>\\n' + m['content'] + '<|end|>\\n' }}{%- endfor %}"
        "{%- if add_generation_prompt %}{{ '<|assistant|>\\n' }}{%- else %}{{ eos_token }}{%- endif %}"
    ),
    "zephyr": (
        "{%- for m in messages %}{{ '<|' + m['role'] + '|>\\n' + m['content'] + eos_token + '\\n' }}"
        "{%- if loop.last and add_generation_prompt %}{{ '<|assistant|>\\n' }}{%- endif %}{%- endfor %}"
    ),
    "vicuna": (
        "{%- for m in messages %}{%- if m['role'] == 'system' %}{{ m['content'] + ' ' }}{%- elif m['role'] == 'user' %}"
        "{{ 'USER: ' + m['content'] + ' ' }}{%- else %}{{ 'ASSISTANT: ' + m['content'] + eos_token }}{%- endif %}{%- endfor %}"
        "{%- if add_generation_prompt %}{{ 'ASSISTANT:' }}{%- endif %}"
    ),
    "deepseek-r1": (  # opens a thought whatever it is told
        "{{ bos_token }}{%- for m in messages %}{%- if m['role'] == 'system' %}{{ m['content'] }}{%- elif m['role'] == 'user' %}"
        "{{ '<|User|>' + m['content'] }}{%- else %}{{ '<|Assistant|>' + m['content'].split('</think>')[-1] + eos_token }}{%- endif %}{%- endfor %}"
        "{%- if add_generation_prompt %}{{ '<|Assistant|><think>\\n' }}{%- endif %}"
    ),
    "command-r": (
        "{{ bos_token }}{%- for m in messages %}{{ '<|START_OF_TURN_TOKEN|>' + {'system': '<|SYSTEM_TOKEN|>', 'user': '<|USER_TOKEN|>', "
        "'assistant': '<|CHATBOT_TOKEN|>'}[m['role']] + m['content'].strip() + '<|END_OF_TURN_TOKEN|>' }}{%- endfor %}"
        "{%- if add_generation_prompt %}{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' }}{%- endif %}"
    ),
}
CONTROL = (
    "<s> </s> <unk> <|im_start|> <|im_end|> <|start_header_id|> <|end_header_id|> <|eot_id|> <start_of_turn> <end_of_turn> <|end|> <|user|> "
    "<|assistant|> <|system|> <|User|> <|Assistant|> <|START_OF_TURN_TOKEN|> <|END_OF_TURN_TOKEN|> <|SYSTEM_TOKEN|> <|USER_TOKEN|> <|CHATBOT_TOKEN|>"
).split()
SPOKEN = ["<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]  # no special tokens
