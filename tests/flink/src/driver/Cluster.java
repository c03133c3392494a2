package driver;

import org.apache.flink.configuration.Configuration;
import org.apache.flink.runtime.minicluster.MiniCluster;
import org.apache.flink.runtime.minicluster.MiniClusterConfiguration;

/** The one Flink cluster of this process; started with its first job. System properties that begin with {@code cluster.} are its settings. */
final class Cluster {
  private static final String SETTING = "cluster.";
  private static final int SLOTS = 8;
  private static MiniCluster cluster;

  private Cluster() {}

  static synchronized MiniCluster get() throws Exception {
    if (cluster == null) {
      Configuration settings = new Configuration();
      settings.setString("rest.address", "127.0.0.1");
      settings.setString("rest.bind-port", "0");
      settings.setString("taskmanager.memory.managed.size", "128m");
      settings.setString("state.checkpoints.num-retained", "10");
      for (String property : System.getProperties().stringPropertyNames()) {
        if (property.startsWith(SETTING)) {
          settings.setString(property.substring(SETTING.length()), System.getProperty(property));
        }
      }
      MiniClusterConfiguration configuration =
          new MiniClusterConfiguration.Builder()
              .setConfiguration(settings)
              .setNumTaskManagers(1)
              .setNumSlotsPerTaskManager(SLOTS)
              .build();
      MiniCluster starting = new MiniCluster(configuration);
      starting.start();
      cluster = starting;
    }
    return cluster;
  }
}
