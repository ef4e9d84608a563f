"""What tests build with: tiny models, files, stand-ins, and homes in which stages run. None is a test."""
