"""Model references, one loader, adapters, and the split of a model into a trunk and a top."""

import logging
import warnings

# bitsandbytes looks for a faster kernel on the model hub when it is imported, and warns when there is none (it works without); and it tells for
# every layer of every batch that int8 takes its inputs in fp16.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
# peft 0.21 calls transformers 5 by a name that is deprecated there, and every call would warn.
warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")
