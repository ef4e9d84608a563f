"""The chatbot asked as people meet it, its answers judged, and what they are worth: what measuring it rests on, in whichever stage."""
