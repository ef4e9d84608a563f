"""Studies: arms that answer the same items, every answer kept, figures with paired intervals, one report; killed, they go on where they were."""
