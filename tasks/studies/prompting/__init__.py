"""The study prompt_study: ways of asking beside each other, on published questions with an answer, or on the team's own through the chatbot."""
