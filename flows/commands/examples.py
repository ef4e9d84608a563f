"""Examples below the help of commands."""

EXAMPLES = """examples:
  migaki retrain --profile quick                        the example project, in minutes
  migaki retrain --instructions a.jsonl --preferences b.jsonl --documents docs/ --questions q.json
  migaki retrain --set tune.epochs=2 --set run.align=false
  migaki index && migaki chat
"""
SEARCH_EXAMPLES = """examples:
  migaki search how does beam search work               the five best chunks for a question
  migaki search LoRA -k 20 --lang ja                    more of them, of Japanese documents alone
  migaki search travel expenses --groups sales,board    what somebody of these groups would find
  migaki search beam search --json                      for programs: one line of JSON, with every hit's whole text

The chat gives its model the first two (chat.chunks), and how sure it must be to answer follows from chat.cost_wrong.
"""
ACCEPT = """a question whose answers can be judged, a line of a file:
  {"question": "How long is the window of Llama 2?", "answer": "4,096 tokens.", "document": "en/models.md", "accept": ["4,096"]}

An answer is right if it contains one of accept; case, spaces and punctuation aside. A string that a wrong choice contains as well, or that stands
in no document, cannot tell right from wrong.
"""
GENERATE_EXAMPLES = """examples:
  migaki generate "The future of AI is" --compare greedy,beam:5,top_k:50,top_p:0.95
  migaki generate "The future of AI is" --plain --compare top_k:50 --temperatures 0.3,0.7,1.0,1.5 -n 3 --no-repeat 2
  migaki generate 日本の首都は --model hub:openai-community/gpt2 --json
"""
PROMPT_EXAMPLES = """examples:
  migaki prompts list --prompts our_prompts/
  migaki prompts render brief --field question="When does it open?" --field context="- It opens at nine."
  migaki prompts try summarise --field text=@report.txt
  migaki prompts lint our_prompts/refunds.ja.yaml
  migaki prompts diff brief@v1 brief
  migaki retrain --set chat.templates=brief              a release with it, where the gate promotes it
"""
