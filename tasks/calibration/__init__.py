"""The stage calibrate: from which probability on the chatbot answers, fitted on the team's own questions."""
